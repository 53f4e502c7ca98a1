"""Preference pairs as a run reads them: which pairs make up which step, and what the reference says of each."""

import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from afina.blobs import sync_folder
from afina.data.tokens import TokenFile
from afina.engine.engine import Engine
from afina.engine.types import Batch, Logprobs, Sequence
from afina.schemas.runs import RunSpec
from afina.training.batches import rows_by_step, sequence

AT_ONCE = 16  # pairs per call, so that other runs and chats get their turn in between
ROWS = 3  # of an example in its token file: the prompt, the chosen answer, the rejected one


class Pairs:
    """The pairs of a token file, by number."""

    def __init__(self, path: str) -> None:
        self._data = TokenFile.open(path)

    def __len__(self) -> int:
        return len(self._data) // ROWS

    def sequences(self, numbers: list[int]) -> tuple[Sequence, ...]:
        """Each pair as its prompt, computed once, and two answers that continue it; its number is their group."""
        made: list[Sequence] = []
        for number in numbers:
            prompt, chosen, rejected = (sequence(self._data, number * ROWS + row) for row in range(ROWS))
            parent = len(made)
            made.append(prompt)
            made += [Sequence(of.ids, of.weights, parent, group=number) for of in (chosen, rejected)]
        return tuple(made)


def batches(spec: RunSpec, pairs: Pairs, *, start: int) -> Iterator[tuple[int, list[int], Batch]]:
    """(step, numbers of the pairs, batch) from step `start + 1` to the last; the mean is over pairs."""
    for step, numbers in rows_by_step(spec, len(pairs), start=start):
        yield step, numbers, Batch(pairs.sequences(numbers), spec.token_budget, denominator=len(numbers))


async def sums(
    engine: Engine, adapter: str | None, pairs: Pairs, numbers: list[int], *, token_budget: int
) -> NDArray[np.float64]:
    """Summed log-probability of the chosen and the rejected answer of each pair: [pairs, 2]."""
    scored: list[Logprobs] = []
    for first in range(0, len(numbers), AT_ONCE):
        some = list(pairs.sequences(numbers[first : first + AT_ONCE]))
        found = await engine.logprobs(adapter, some, token_budget=token_budget)
        scored += [of for i, of in enumerate(found) if i % ROWS]
    return np.array([sum(of.values) for of in scored]).reshape(-1, 2)


async def references(spec: RunSpec, engine: Engine, pairs: Pairs, *, name: str) -> NDArray[np.float64]:
    """What the model that the run begins from says of each pair, [pairs, 2]: found once a job, kept in its folder."""
    file = f"reference-{name}.npy"
    for known in sorted(Path(spec.folder).parent.glob(f"*/{file}")):
        return np.load(known)
    adapter = None
    if spec.start is not None:
        adapter = f"{spec.adapter}.reference"
        await engine.create_adapter(adapter, None, start=Path(spec.start))
    try:
        found = await sums(engine, adapter, pairs, list(range(len(pairs))), token_budget=spec.token_budget)
    finally:
        if adapter is not None:
            await engine.drop(adapter)
    keep(Path(spec.folder) / file, found)
    return found


def keep(path: Path, values: NDArray[np.float64]) -> None:
    """Whole or not at all."""
    partial = path.with_suffix(".partial")
    with partial.open("wb") as file:
        np.save(file, values)
        file.flush()
        os.fsync(file.fileno())
    partial.replace(path)
    sync_folder(path.parent)
