"""The settings that TRL is measured with, and which of them is its best on this machine."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

Dtype = Literal["float32", "bfloat16"]
Order = Literal["random", "length"]
Layout = Literal["padded", "padding_free", "packed"]

FIGURES = Path(__file__).parent.parent / "docs" / "figures"


@dataclass(frozen=True)
class Variant:
    """One way to call a trainer. `dtype` is that of the frozen weights; `autocast` is mixed precision over them.

    Since its 1.16, TRL computes logits only where there is a label and in chunks ("chunked nll") without being asked.
    """

    name: str
    dtype: Dtype
    checkpointing: bool = False
    order: Order = "length"
    layout: Layout = "padded"
    autocast: bool = False
    references: bool = False  # of preferences: known before the first step, not asked for at each
    rows: int = (
        8  # of reinforcement: computed in one pass, as the defaults have it; a step accumulates passes
    )


DEFAULT = Variant("defaults, float32", "float32", checkpointing=True, order="random")

# Literal defaults train under bf16 autocast, for which this CPU has no fast path: the sweep shows what that costs.
CANDIDATES = (
    DEFAULT,
    Variant("literal defaults (bf16 autocast)", "float32", checkpointing=True, order="random", autocast=True),
    Variant("float32, sorted", "float32"),
    Variant("float32, padding-free", "float32", order="random", layout="padding_free"),
    Variant("float32, packed", "float32", order="random", layout="packed"),
    Variant("bfloat16 weights, sorted", "bfloat16"),
    Variant("bfloat16 weights, padding-free", "bfloat16", order="random", layout="padding_free"),
    Variant("bfloat16 autocast, sorted", "float32", autocast=True),
)

# What was best where nobody has swept.
USUAL: dict[Dtype, str] = {"float32": "float32, sorted", "bfloat16": "bfloat16 weights, sorted"}


@dataclass(frozen=True)
class Best:
    """The fastest exact way for a precision, and how that is known."""

    variant: Variant
    why: str


def sweep_file(shape: str) -> Path:
    """Where a sweep's outcome stands."""
    return FIGURES / f"sweep-{shape}.json"


def best(shape: str, dtype: Dtype) -> Best:
    """By the recorded sweep of this shape, else what is usually best."""
    names, why = dict(USUAL), "the usual best; no sweep is recorded"
    if sweep_file(shape).exists():
        swept = json.loads(sweep_file(shape).read_bytes())
        names, why = swept["best"], f"the sweep of {swept['versions']['date']}"
    return Best(next(variant for variant in CANDIDATES if variant.name == names[dtype]), why)
