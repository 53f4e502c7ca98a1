"""The token file that a run reads: the exact ids and weights that are trained on."""

import json
import os
from array import array
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Protocol, cast

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from afina.blobs import sync_folder
from afina.data.render import Rendered
from afina.data.report import FileKind, Format, Problem, format_error
from afina.errors import CorruptBlob, DataError

_STATS_KEY = "afina.stats"


@dataclass(frozen=True)
class TokenStats:
    """Counts over one epoch. `tokens` is what is billed: each token of each row, after truncation.

    An example is a line of the uploaded file; it has several rows where `Renderer.example` says so.
    """

    examples: int
    rows: int
    tokens: int
    supervised_tokens: int
    truncated: int
    longest: int


class _Tensors(Protocol):
    """What is used of safetensors' reader, whose own types say less."""

    def metadata(self) -> dict[str, str]: ...
    def get_tensor(self, name: str, /) -> NDArray[np.int64]: ...
    def get_slice(self, name: str, /) -> NDArray[np.int32]: ...


class TokenFile:
    """Rows of (ids int32, weights uint8), read from disk one by one as they are asked for."""

    def __init__(self, path: Path):
        try:
            self._file = cast(_Tensors, safe_open(path, framework="numpy"))
            self._offsets = self._file.get_tensor("offsets")
            self.metadata: Mapping[str, str] = self._file.metadata()
            self.stats = TokenStats(**json.loads(self.metadata[_STATS_KEY]))
        except (SafetensorError, KeyError, TypeError, ValueError) as error:
            raise CorruptBlob(f"{path.name} is not a whole token file: {type(error).__name__}") from error

    @classmethod
    def open(cls, path: Path | str) -> "TokenFile":
        """Opens a file that `write` made; `CorruptBlob` for any other."""
        return cls(Path(path))

    def __len__(self) -> int:
        return len(self._offsets) - 1

    def __getitem__(self, row: int) -> tuple[NDArray[np.int32], NDArray[np.uint8]]:
        if not 0 <= row < len(self):
            raise IndexError(row)
        start, end = int(self._offsets[row]), int(self._offsets[row + 1])
        weights = self._file.get_slice("weights")[start:end]
        return self._file.get_slice("ids")[start:end], weights.astype(np.uint8, copy=False)


def write(
    path: Path,
    examples: Iterable[Sequence[Rendered]],
    *,
    max_length: int,
    file: FileKind = "training",
    format: Format = "chat",
    metadata: Mapping[str, str] | None = None,
) -> TokenStats:
    """Writes the rows of examples in their order, each cut at its end to `max_length` tokens.

    The file is there whole or not at all. Raises `DataError` where truncation leaves nothing of what the
    assistant says in an example, or in one of the answers of a preference; or no room behind a prompt.
    """
    cut = _CUTS[format]
    ids, weights, offsets = array("i"), array("B"), array("q", [0])
    count = truncated = 0
    for count, rows in enumerate(examples, 1):
        kept = cut(rows, max_length)
        if not kept:
            raise (
                _no_room(count, max_length, file) if cut is _whole else _nothing_left(count, max_length, file)
            )
        for row in kept:
            ids.extend(row.ids)
            weights.extend(row.weights)
            offsets.append(len(ids))
        truncated += sum(len(row.ids) for row in kept) < sum(len(row.ids) for row in rows)
    tensors = {
        "ids": np.array(ids, np.int32),
        "weights": np.array(weights, np.uint8),
        "offsets": np.array(offsets, np.int64),
    }
    stats = TokenStats(
        examples=count,
        rows=len(offsets) - 1,
        tokens=len(ids),
        supervised_tokens=sum(weights),
        truncated=truncated,
        longest=int(np.diff(tensors["offsets"]).max(initial=0)),
    )
    _replace(path, save(tensors, {**(metadata or {}), _STATS_KEY: json.dumps(asdict(stats))}))
    return stats


def _cut_chat(rows: Sequence[Rendered], max_length: int) -> list[Rendered]:
    """A row of which nothing is left is dropped while others of its example remain."""
    cut = [Rendered(row.ids[:max_length], row.weights[:max_length]) for row in rows]
    return [row for row in cut if any(row.weights)]


def _cut_preference(rows: Sequence[Rendered], max_length: int) -> list[Rendered]:
    """Prompt and answers keep their places: none of them where either answer is gone."""
    prompt, *answers = rows
    room = max(0, max_length - len(prompt.ids))
    cut = [Rendered(row.ids[:room], row.weights[:room]) for row in answers]
    return [prompt, *cut] if all(any(row.weights) for row in cut) else []


def _whole(rows: Sequence[Rendered], max_length: int) -> list[Rendered]:
    """A prompt is not cut: its end is where the answer begins."""
    return [row for row in rows if len(row.ids) < max_length]


_CUTS: Mapping[Format, Callable[[Sequence[Rendered], int], list[Rendered]]] = {
    "chat": _cut_chat,
    "preference": _cut_preference,
    "reinforcement": _whole,
}


def _no_room(example: int, max_length: int, file: FileKind) -> DataError:
    message = f"Example {example}: its prompt leaves no room for an answer within {max_length} tokens"
    problem = Problem(line=example, field="messages", message=message, cure="shorten the messages")
    return format_error(file, problem)


def _nothing_left(example: int, max_length: int, file: FileKind) -> DataError:
    message = (
        f"Example {example}: truncation at {max_length} tokens leaves nothing of the assistant's messages"
    )
    cure = "shorten what comes before the first assistant message"
    return format_error(file, Problem(line=example, field="messages", message=message, cure=cure))


def _replace(path: Path, data: bytes) -> None:
    """Temporary file, fsync, rename, fsync of the folder."""
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        with partial.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)
    sync_folder(path.parent)
