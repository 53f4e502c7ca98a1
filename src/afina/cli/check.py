"""`afina check`: what would fail a job, found in a file on this machine, without a server."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, BinaryIO

import typer
from rich.markup import escape
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

from afina.cli.language import _, decimal
from afina.cli.output import Json, aside, console, emit, show_fields

if TYPE_CHECKING:
    from afina.data.report import FileKind, Finding, Format, Problem, Report

CHUNK = 1 << 20
KEPT = 1000
SAMPLE_BYTES = 1 << 20  # rendered in about a second; a larger file's tokens are told from its beginning

IsValidation = Annotated[bool, typer.Option("--validation", help="A validation file: one example is enough.")]


@dataclass(frozen=True)
class Tokens:
    """How long a file is to the bundled model."""

    count: int
    exact: bool

    def __str__(self) -> str:
        count = decimal(f"{self.count:,}")
        return count if self.exact else _("about {count}, by the beginning of the file").format(count=count)


def check(
    path: Annotated[
        Path,
        typer.Argument(metavar="FILE", help="A JSONL file.", exists=True, dir_okay=False, show_default=False),
    ],
    validation: IsValidation = False,
    json: Json = False,
) -> None:
    """Look for what would fail a job, line by line, on this machine alone; exit 1 where there is something."""
    format = format_of(path)
    report = examine(path, "validation" if validation else "training", format)
    problems = (*report.problems, *too_few(report))
    tokens = None if problems else tokens_of(path, format)
    if json:
        emit(document(report, problems, tokens))
    else:
        show("problem", problems, report.n_problems, colour="red")
        show("warning", report.warnings, report.n_warnings, colour="yellow")
        show_fields(counts(report, tokens))
        if not problems:
            console().print(f"[green]{_('no job will fail for this file')}[/]")
    if problems:
        raise typer.Exit(1)


def format_of(path: Path) -> "Format":
    """What the first row looks like: a conversation, a pair of answers, or a prompt with something for a grader."""
    from afina.data import preference_format, reinforcement_format
    from afina.data.jsonl import Line, read_lines

    if not path.is_file():
        return "chat"
    with path.open("rb") as file:
        first = next(iter(read_lines([file.read(SAMPLE_BYTES)])), None)
    if not isinstance(first, Line):
        return "chat"
    if preference_format.resembles(first.value):
        return "preference"
    return "reinforcement" if reinforcement_format.is_graded(first.value) else "chat"


def examine(path: Path, kind: "FileKind", format: "Format") -> "Report":
    """The report on a file of any size, showing on a screen how far it is."""
    import afina.base
    from afina.data.jsonl import read_lines
    from afina.data.render import Renderer
    from afina.data.validate import Rules, validate

    rules = Rules(kind, Renderer(afina.base.path()), KEPT, format)
    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TimeRemainingColumn())
    screen = aside()
    with (
        Progress(*columns, console=screen, transient=True, disable=not screen.is_terminal) as progress,
        progress.open(path, "rb", description=escape(path.name)) as file,
    ):
        return validate(read_lines(chunks(file)), rules)


def chunks(file: BinaryIO) -> Iterator[bytes]:
    """The rest of a file, piece by piece."""
    return iter(partial(file.read, CHUNK), b"")


def too_few(report: "Report") -> "Iterable[Problem]":
    """A file whose lines are all sound, and not enough, as a problem of its last line."""
    from afina.data.report import Problem

    error = report.error()
    if report.problems or error is None:
        return ()
    return (Problem(line=max(1, report.n_examples), field="$", message=error.message, cure=error.cure),)


def tokens_of(path: Path, format: "Format") -> Tokens | None:
    """The tokens of a sound file; None where the bundled model's template cannot render it, or it was a pipe."""
    import afina.base
    from afina.data.examples import rendered
    from afina.data.jsonl import read_lines
    from afina.data.render import Renderer
    from afina.errors import DataError

    if not path.is_file():
        return None
    size = path.stat().st_size
    with path.open("rb") as file:
        head = file.read(SAMPLE_BYTES)
    if size > len(head):
        head = head[: head.rfind(b"\n") + 1]
    try:
        examples = rendered(read_lines([head]), Renderer(afina.base.path()), format=format)
        found = sum(len(row.ids) for rows in examples for row in rows)
    except DataError:
        return None
    return Tokens(round(found * size / len(head)), exact=size == len(head)) if head else None


def document(report: "Report", problems: "Sequence[Problem]", tokens: Tokens | None) -> dict[str, object]:
    """What programs read; of very many findings the first thousand are listed, and `n_...` counts them all."""
    return {
        "format": report.format,
        "examples": report.n_examples,
        "n_problems": max(report.n_problems, len(problems)),
        "n_warnings": report.n_warnings,
        "problems": [problem.model_dump() for problem in problems],
        "warnings": [notice.model_dump() for notice in report.warnings],
        "statistics": report.statistics.model_dump(),
        "tokens": tokens and tokens.count,
        "tokens_exact": tokens and tokens.exact,
    }


def show(kind: str, findings: "Sequence[Finding]", total: int, *, colour: str) -> None:
    """A line each, and how many there are beyond those."""
    for found in findings:
        place = _("line {line}, {field}").format(line=found.line, field=found.field)
        text = escape(f"{place}: {found.message} - {found.cure}")
        console().print(f"[{colour}]{_(kind)}[/]  {text}", soft_wrap=True)
    if total > len(findings):
        more = _("{count} more").format(count=decimal(f"{total - len(findings):,}"))
        console().print(f"[{colour}]{_(kind)}[/]  {more}")


def counts(report: "Report", tokens: Tokens | None) -> Iterable[tuple[str, object]]:
    """The figures below the findings; averages are those of the sound rows."""
    sound = report.statistics.examples
    longest = decimal(f"{report.statistics.longest_characters:,}")
    return (
        (_("rows read"), decimal(f"{report.n_examples:,}")),
        (_("messages a row"), decimal(f"{report.statistics.messages / sound:.1f}") if sound else None),
        (_("longest row"), _("{count} characters").format(count=longest) if sound else None),
        (_("tokens"), tokens and _("{count} (as the bundled model counts them)").format(count=tokens)),
    )
