"""What both legs start from: a base model of random weights and the first values of an adapter, as files."""

from dataclasses import dataclass
from pathlib import Path

from afina.engine.types import AdapterSpec
from bench.legs import apart
from bench.shapes import Shape


@dataclass(frozen=True)
class NewBase:
    """A base to be written into a folder that does not exist yet."""

    shape: Shape
    folder: Path


@dataclass(frozen=True)
class NewAdapter:
    """An adapter to be written; with `noise` its second factors are not zero, so that every gradient counts."""

    base: Path
    folder: Path
    spec: AdapterSpec
    noise: float = 0.0


def base(shape: Shape, folder: Path) -> Path:
    """Write a base of a shape, the same bytes each time; it has the bundled tokenizer, whatever its vocabulary."""
    return apart("bench.weights:write_base", NewBase(shape, folder), Path)


def adapter(new: NewAdapter) -> Path:
    """Write an adapter as PEFT stores it; the spec's seed decides its values."""
    return apart("bench.weights:write_adapter", new, Path)
