"""How many floating-point operations a step of low-rank training needs; what is computed twice counts once."""

from collections.abc import Sequence
from dataclasses import dataclass

from bench.shapes import Shape


@dataclass(frozen=True)
class Lengths:
    """One row: its tokens, and those of them that are supervised."""

    tokens: int
    supervised: int


def linears(shape: Shape) -> tuple[tuple[int, int], ...]:
    """(in, out) of the projections of one layer: q, k, v, o, gate, up, down."""
    wide, narrow = shape.hidden, shape.hidden * shape.kv_heads // shape.heads
    into = ((wide, wide), (wide, narrow), (wide, narrow), (wide, wide))
    return (*into, (wide, shape.inner), (wide, shape.inner), (shape.inner, wide))


def step(shape: Shape, rank: int, rows: Sequence[Lengths]) -> float:
    """Forward, and backward to inputs and adapters; frozen weights have no gradients.

    Each product counts two operations a term. Nothing below the first layer's adapters is needed, and causal
    attention needs half of its square.
    """
    layers = linears(shape)
    frozen = sum(a * b for a, b in layers)
    adapter = sum(rank * (a + b) for a, b in layers)
    unneeded = sum(a * b for a, b in layers[:3])
    tokens = sum(row.tokens for row in rows)
    products = tokens * (shape.layers * (4 * frozen + 6 * adapter) - 2 * unneeded)
    attention = 6 * shape.layers * shape.hidden * sum(row.tokens**2 for row in rows)
    head = 4 * shape.hidden * shape.vocabulary * sum(row.supervised for row in rows)
    return float(products + attention + head)
