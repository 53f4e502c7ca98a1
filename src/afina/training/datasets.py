"""From an uploaded file to the token file that a run reads: checked, rendered once, kept by what it was made from."""

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from afina import ids
from afina.blobs import Blobs
from afina.data import reinforcement_format, tokens
from afina.data.examples import rendered
from afina.data.faults import Fault
from afina.data.jsonl import Line, read_lines
from afina.data.report import FileKind, Format, Notice, Problem, Report, too_few
from afina.data.strict_json import JsonObject
from afina.data.tokens import TokenFile, TokenStats
from afina.data.validate import Rules, validate
from afina.errors import CorruptBlob, DataError
from afina.graders.check import first_absent
from afina.schemas.files import FileObject
from afina.schemas.graders import Grader
from afina.training import items
from afina.training.bases import Base

RENDERING = 1  # raised when the same file and base would give other tokens


# What a method is trained on.
FORMATS: Mapping[str, Format] = {
    "supervised": "chat",
    "dpo": "preference",
    "reinforcement": "reinforcement",
}


@dataclass(frozen=True)
class Source:
    """An uploaded file as one base is trained on it; examples are cut at `max_length` tokens.

    What its `grader`, if any, refers to has to be there.
    """

    file: FileObject
    kind: FileKind
    base: Base
    max_length: int
    format: Format = "chat"
    grader: Grader | None = None


@dataclass(frozen=True)
class Dataset:
    """A sound file as tokens."""

    path: Path
    stats: TokenStats


def sound(source: Source, blobs: Blobs, cache: Path) -> Dataset:
    """The token file of a source that a job would accept; raises the `DataError` that it would fail with.

    What is in the cache was checked before it was made, though not for the number of its examples.
    """
    stats = cached(token_path(source, cache))
    error = too_few(source.kind, stats.examples) if stats else report(source, blobs).error()
    if error:
        raise error
    return make(source, blobs, cache)


def make(source: Source, blobs: Blobs, cache: Path) -> Dataset:
    """The token file of a source, rendered only if the folder `cache` does not have it."""
    path = token_path(source, cache)
    if stats := cached(path):
        return Dataset(path, stats)
    path.parent.mkdir(parents=True, exist_ok=True)
    if source.format == "reinforcement":
        items.write(items.beside(path), lines(source, blobs))
    made = path.with_name(f"{ids.random_text(8)}.making")  # two jobs may need the same file at the same time
    rows = rendered(lines(source, blobs), source.base.renderer(), file=source.kind, format=source.format)
    stats = tokens.write(made, rows, max_length=source.max_length, file=source.kind, format=source.format)
    made.replace(path)
    return Dataset(path, stats)


def cached(path: Path) -> TokenStats | None:
    """What a token file holds; None where it is not there, or not whole: it can be made again."""
    try:
        return TokenFile.open(path).stats if path.exists() else None
    except CorruptBlob:
        return None


def report(source: Source, blobs: Blobs) -> Report:
    """What a check of a source finds."""
    renderer = source.base.renderer()
    rules = Rules(file=source.kind, renderer=renderer, format=source.format, also=partial(absent, source))
    return validate(lines(source, blobs), rules)


def absent(source: Source, row: JsonObject, number: int) -> Iterator[Fault]:
    """What the grader refers to and a row does not have."""
    if source.grader is None:
        return
    if path := first_absent(source.grader, reinforcement_format.item(row)):
        cure = "add the key to the example, or take it out of the grader"
        yield Fault(
            path.removeprefix("item."), f": grader refers to {path}, absent in example {number}", cure
        )


def lines(source: Source, blobs: Blobs) -> Iterator[Line | Problem | Notice]:
    """The file's lines; its bytes are read as they were uploaded, or not at all."""
    try:
        blobs.verify(source.file.blob, sha256=source.file.sha256)
    except CorruptBlob:
        raise corrupt(source.kind) from None
    return read_lines(blobs.read(source.file.blob))


def corrupt(kind: FileKind) -> DataError:
    """Stored bytes have changed: nothing is trained on them."""
    text = f"The stored bytes of the {kind} file are not those that were uploaded. Upload the file again."
    error = DataError(text, code=f"{kind}_file_corrupt")
    error.param = f"{kind}_file"
    return error


def token_path(source: Source, cache: Path) -> Path:
    """By everything that decides the tokens, in a folder of the file's own, which goes when the file goes."""
    made_of = f"{RENDERING} {source.format} {source.file.sha256} {source.base.speech} {source.max_length}"
    name = hashlib.sha256(made_of.encode()).hexdigest()
    return cache / source.file.id / f"{name}.safetensors"
