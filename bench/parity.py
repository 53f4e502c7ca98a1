"""The gate before any speed counts: twenty steps in float32 on both sides, and the first step's gradients."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import load_file

from bench.legs import Leg, apart
from bench.pace import Window
from bench.recipe import Task

STEPS = 20
LOSS = 1e-5  # largest relative difference of a step's loss
COSINE = 0.9999  # least similarity of the adapters at the end
GRADIENT = 1e-4  # largest difference within a tensor, in parts of its largest number

Tensors = Mapping[str, NDArray[np.float32]]


@dataclass(frozen=True)
class Parity:
    """How far the two sides are from each other."""

    same_tokens: bool
    worst_loss: float
    adapter_cosine: float
    worst_gradient: float
    worst_tensor: str

    @property
    def holds(self) -> bool:
        """Whether they do the same mathematics; what is not a number is not equal."""
        near = self.worst_loss <= LOSS and self.worst_gradient <= GRADIENT
        return self.same_tokens and near and self.adapter_cosine > COSINE


def check(task: Task) -> Parity:
    """Run both sides over the first twenty steps of a float32 run."""
    assert task.spec.dtype == "float32"
    mine, theirs = task.beside("ours"), task.beside("peer")
    window, other = taken("bench.ours:train", mine), taken("bench.trl_leg:train", theirs)
    worst, tensor = farthest(
        apart("bench.gradients:ours", mine, Path), apart("bench.gradients:peer", theirs, Path)
    )
    return Parity(
        same_tokens=[s.digest for s in window.steps] == [s.digest for s in other.steps],
        worst_loss=max(gap(a.loss, b.loss) for a, b in zip(window.steps, other.steps, strict=True)),
        adapter_cosine=cosine(final(mine), final(theirs)),
        worst_gradient=worst,
        worst_tensor=tensor,
    )


def taken(leg: str, task: Task) -> Window:
    """The steps of one side; its adapter is written when this returns."""
    with Leg(leg, leg, task) as process:
        return process.ask(STEPS, Window)


def final(task: Task) -> Tensors:
    """The adapter that a side has left."""
    return load_file(Path(task.spec.folder) / "final" / "adapter_model.safetensors")


def gap(one: float, other: float) -> float:
    """The relative difference of two losses."""
    return abs(one - other) / max(abs(other), 1e-12) if math.isfinite(one + other) else math.inf


def cosine(one: Tensors, other: Tensors) -> float:
    """Of two adapters as one long vector each; 0 where they do not have the same tensors."""
    if one.keys() != other.keys():
        return 0.0
    flat = [np.concatenate([x[name].ravel() for name in sorted(x)]).astype(np.float64) for x in (one, other)]
    return float(flat[0] @ flat[1] / (np.linalg.norm(flat[0]) * np.linalg.norm(flat[1])))


def farthest(one: Path, other: Path) -> tuple[float, str]:
    """The tensor that differs most, as a part of its largest number, and its name."""
    mine, theirs = load_file(one), load_file(other)
    if mine.keys() != theirs.keys():
        return math.inf, "the names differ"
    errors = {name: apart_by(mine[name], theirs[name]) for name in mine}
    name = max(errors, key=lambda key: errors[key])
    return errors[name], name


def apart_by(one: NDArray[np.float32], other: NDArray[np.float32]) -> float:
    """The largest difference as a part of the largest number."""
    largest = float(np.abs(other).max())
    difference = float(np.abs(one - other).max())
    if not math.isfinite(difference):
        return math.inf
    return difference / largest if largest else difference
