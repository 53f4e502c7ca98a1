"""From an uploaded file to the token file that a run reads: checked, rendered once, kept by what it was made from."""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from afina.data import tokens
from afina.data.examples import rendered
from afina.data.jsonl import Line, read_lines
from afina.data.render import Renderer
from afina.data.report import FileKind, Notice, Problem, Report
from afina.data.tokens import TokenFile, TokenStats
from afina.data.validate import Rules, validate
from afina.schemas.files import FileObject
from afina.schemas.fine_tuning import FineTuningJob
from afina.store import files
from afina.worker.bases import Base
from afina.worker.context import Context

RENDERING = 1  # raised when the same file and base would give other tokens


@dataclass(frozen=True)
class Dataset:
    """A sound file as tokens."""

    path: Path
    stats: TokenStats


def of_job(context: Context, job: FineTuningJob, base: Base, kind: FileKind) -> Dataset:
    """The token file of one of a job's files, made anew only if the cache has it no more."""
    file = file_of(context, job, kind)
    path = token_path(context, file, base, max_length=max_length(job, base))
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        rows = rendered(lines(context, file), Renderer(base.folder), file=kind)
        tokens.write(path, rows, max_length=max_length(job, base), file=kind)
    return Dataset(path, TokenFile.open(path).stats)


def report(context: Context, job: FineTuningJob, base: Base, kind: FileKind) -> Report:
    """What a check of one of a job's files finds."""
    rules = Rules(file=kind, renderer=Renderer(base.folder))
    return validate(lines(context, file_of(context, job, kind)), rules)


def lines(context: Context, file: FileObject) -> Iterator[Line | Problem | Notice]:
    """The file's lines; its bytes are read as they were uploaded, or not at all."""
    context.blobs.verify(file.blob, sha256=file.sha256)
    return read_lines(context.blobs.read(file.blob))


def file_of(context: Context, job: FineTuningJob, kind: FileKind) -> FileObject:
    """A job's training or validation file."""
    id = job.training_file if kind == "training" else job.validation_file
    assert id is not None
    with context.database.read(job.project_id) as scope:
        return files.get(scope, id)


def max_length(job: FineTuningJob, base: Base) -> int:
    """Tokens of an example before its end is cut off."""
    return min(job.afina.get("max_length") or base.facts.context, base.facts.context)


def token_path(context: Context, file: FileObject, base: Base, *, max_length: int) -> Path:
    """By everything that decides the tokens; projects never share one."""
    made_of = f"{RENDERING} {file.sha256} {base.sha256} {max_length}"
    name = hashlib.sha256(made_of.encode()).hexdigest()
    return context.settings.data.absolute() / "cache" / "tokens" / file.project_id / f"{name}.safetensors"
