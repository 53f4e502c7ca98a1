"""From an uploaded file to the token file that a run reads: checked, rendered once, kept by what it was made from."""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from afina import ids
from afina.data import tokens
from afina.data.examples import rendered
from afina.data.jsonl import Line, read_lines
from afina.data.render import Renderer
from afina.data.report import FileKind, Notice, Problem, Report
from afina.data.tokens import TokenFile, TokenStats
from afina.data.validate import Rules, validate
from afina.errors import CorruptBlob, DataError
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
    if stats := cached(path):
        return Dataset(path, stats)
    path.parent.mkdir(parents=True, exist_ok=True)
    made = path.with_name(f"{ids.random_text(8)}.making")  # two jobs may need the same file at the same time
    rows = rendered(lines(context, file, kind), Renderer(base.folder), file=kind)
    stats = tokens.write(made, rows, max_length=max_length(job, base), file=kind)
    made.replace(path)
    return Dataset(path, stats)


def cached(path: Path) -> TokenStats | None:
    """What a token file holds; None where it is not there, or not whole: it can be made again."""
    try:
        return TokenFile.open(path).stats if path.exists() else None
    except CorruptBlob:
        return None


def report(context: Context, job: FineTuningJob, base: Base, kind: FileKind) -> Report:
    """What a check of one of a job's files finds."""
    rules = Rules(file=kind, renderer=Renderer(base.folder))
    return validate(lines(context, file_of(context, job, kind), kind), rules)


def lines(context: Context, file: FileObject, kind: FileKind) -> Iterator[Line | Problem | Notice]:
    """The file's lines; its bytes are read as they were uploaded, or not at all."""
    try:
        context.blobs.verify(file.blob, sha256=file.sha256)
    except CorruptBlob:
        raise corrupt(kind) from None
    return read_lines(context.blobs.read(file.blob))


def corrupt(kind: FileKind) -> DataError:
    """Stored bytes have changed: nothing is trained on them."""
    text = f"The stored bytes of the {kind} file are not those that were uploaded. Upload the file again."
    error = DataError(text, code=f"{kind}_file_corrupt")
    error.param = f"{kind}_file"
    return error


def file_of(context: Context, job: FineTuningJob, kind: FileKind) -> FileObject:
    """A job's training or validation file."""
    id = job.training_file if kind == "training" else job.validation_file
    assert id is not None
    with context.database.read(job.project_id) as scope:
        return files.get(scope, id)


def max_length(job: FineTuningJob, base: Base) -> int:
    """Tokens of an example before its end is cut off."""
    return min(job.afina.max_length or base.facts.context, base.facts.context)


def token_path(context: Context, file: FileObject, base: Base, *, max_length: int) -> Path:
    """By everything that decides the tokens, in a folder of the file's own, which goes when the file goes."""
    made_of = f"{RENDERING} {file.sha256} {base.sha256} {max_length}"
    name = hashlib.sha256(made_of.encode()).hexdigest()
    return context.tokens / file.id / f"{name}.safetensors"
