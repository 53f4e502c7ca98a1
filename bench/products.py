"""What the legs of `roofline` are given, and what they answer."""

from dataclasses import dataclass

from bench.shapes import Shape
from bench.variants import Dtype


@dataclass(frozen=True)
class Products:
    """Which products: the shape's linears, applied to so many rows."""

    shape: Shape
    dtype: Dtype
    rows: int
    threads: int


@dataclass(frozen=True)
class Rates:
    """Operations a second by shape."""

    seconds: float
    rates: dict[str, float]


@dataclass(frozen=True)
class Operation:
    """One kind of operation of a step: its own milliseconds, and their share."""

    name: str
    calls: int
    milliseconds: float
    share: float
