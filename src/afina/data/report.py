"""What a check of a file found: problems that end a job, notices that do not, and a few figures."""

from collections.abc import Mapping
from typing import Literal

from pydantic import BaseModel, ConfigDict

from afina.errors import DataError

FileKind = Literal["training", "validation"]
Format = Literal["chat", "preference", "reinforcement"]
MAX_KEPT = 20
MIN_EXAMPLES: Mapping[FileKind, int] = {"training": 10, "validation": 1}


class Finding(BaseModel):
    """One thing found: `line` counts from 1, `field` is a JSON path from the line's root, indices from 0."""

    model_config = ConfigDict(frozen=True)

    line: int
    field: str
    message: str
    cure: str


class Problem(Finding):
    """Ends the job."""


class Notice(Finding):
    """Worth knowing; the job goes on."""


class Statistics(BaseModel):
    """Counts over the sound examples of a file."""

    model_config = ConfigDict(frozen=True)

    examples: int = 0
    messages: int = 0
    trained_messages: int = 0
    characters: int = 0
    longest_characters: int = 0
    with_tools: int = 0
    without_system: int = 0


class Report(BaseModel):
    """The result of a check; the first problems and notices are kept, all are counted."""

    model_config = ConfigDict(frozen=True)

    file: FileKind
    format: str
    n_examples: int
    n_problems: int
    n_warnings: int
    problems: tuple[Problem, ...]
    warnings: tuple[Notice, ...]
    statistics: Statistics

    def error(self) -> DataError | None:
        """What the job fails with, None for a sound file.

        A broken line is reported before a short file: mending it may be all that is needed.
        """
        if self.problems:
            return self._first_problem(self.problems[0])
        return too_few(self.file, self.n_examples)

    def _first_problem(self, first: Problem) -> DataError:
        total = f" (the first of {self.n_problems} problems)" if self.n_problems > 1 else ""
        return format_error(self.file, first, suffix=total)


def format_error(file: FileKind, problem: Problem, *, suffix: str = "") -> DataError:
    """A problem as the error of a job, in OpenAI's wording."""
    message = f"The job failed due to an invalid {file} file. Invalid file format. {problem.message}{suffix}"
    return DataError(
        message,
        line=problem.line,
        field=problem.field,
        cure=problem.cure,
        param=f"{file}_file",
        code=f"invalid_{file}_file",
    )


def too_few(file: FileKind, found: int) -> DataError | None:
    """What a job fails with whose file has fewer examples than it must; None where there are enough."""
    least = MIN_EXAMPLES[file]
    if found >= least:
        return None
    message = f"{file.capitalize()} file has {found} example(s), but must have at least {least} examples"
    cure = f"add {least - found} example(s)"
    return DataError(message, cure=cure, param=f"{file}_file", code="invalid_n_examples")
