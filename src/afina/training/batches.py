"""Which rows make up which step: a pure function of the spec, so that a resumed run meets the same batches.

A row is what is trained as one sequence: an example, or one turn of it where its template wants them apart.
"""

import math
from collections.abc import Iterator

import numpy as np

from afina.data.tokens import TokenFile
from afina.engine.prefixes import share_prefixes
from afina.engine.types import Batch, Sequence
from afina.schemas.runs import RunSpec


def steps_per_epoch(rows: int, batch_size: int) -> int:
    """The last batch of an epoch may be smaller; no row is left out or seen twice."""
    return math.ceil(rows / batch_size)


def epoch_order(rows: int, *, seed: int, epoch: int) -> list[int]:
    """The order of an epoch's rows, shuffled by (seed, epoch) alone."""
    return np.random.Generator(np.random.Philox(key=[seed, epoch])).permutation(rows).tolist()


def batches(spec: RunSpec, data: TokenFile, *, start: int) -> Iterator[tuple[int, Batch]]:
    """(step, batch) from step `start + 1` to the last; steps count from 1 over all epochs."""
    for step, rows in rows_by_step(spec, len(data), start=start):
        sequences = share_prefixes(tuple(sequence(data, row) for row in rows))
        yield step, Batch(sequences, token_budget=spec.token_budget)


def rows_by_step(spec: RunSpec, rows: int, *, start: int) -> Iterator[tuple[int, list[int]]]:
    """(step, numbers of its rows) from step `start + 1` to the last."""
    per_epoch = steps_per_epoch(rows, spec.batch_size)
    first_epoch, first_place = divmod(start, per_epoch)
    for epoch in range(first_epoch, spec.n_epochs):
        order = epoch_order(rows, seed=spec.seed, epoch=epoch)
        for place in range(first_place if epoch == first_epoch else 0, per_epoch):
            numbers = order[place * spec.batch_size : (place + 1) * spec.batch_size]
            yield epoch * per_epoch + place + 1, numbers


def sequence(data: TokenFile, row: int) -> Sequence:
    """One row as the engine takes it."""
    ids, weights = data[row]
    return Sequence(tuple(ids.tolist()), tuple(float(weight) for weight in weights.tolist()))
