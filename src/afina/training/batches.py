"""Which examples make up which step: a pure function of the spec, so that a resumed run meets the same batches."""

import math
from collections.abc import Iterator

import numpy as np

from afina.data.tokens import TokenFile
from afina.engine.types import Batch, Sequence
from afina.schemas.runs import RunSpec


def steps_per_epoch(examples: int, batch_size: int) -> int:
    """The last batch of an epoch may be smaller; no example is left out or seen twice."""
    return math.ceil(examples / batch_size)


def epoch_order(examples: int, *, seed: int, epoch: int) -> list[int]:
    """The order of an epoch's examples, shuffled by (seed, epoch) alone."""
    return np.random.Generator(np.random.Philox(key=[seed, epoch])).permutation(examples).tolist()


def batches(spec: RunSpec, data: TokenFile, *, start: int) -> Iterator[tuple[int, Batch]]:
    """(step, batch) from step `start + 1` to the last; steps count from 1 over all epochs."""
    per_epoch = steps_per_epoch(len(data), spec.batch_size)
    for epoch in range(start // per_epoch, spec.n_epochs):
        order = epoch_order(len(data), seed=spec.seed, epoch=epoch)
        for place in range(start % per_epoch if epoch == start // per_epoch else 0, per_epoch):
            rows = order[place * spec.batch_size : (place + 1) * spec.batch_size]
            sequences = tuple(sequence(data, row) for row in rows)
            yield epoch * per_epoch + place + 1, Batch(sequences, token_budget=spec.token_budget)


def sequence(data: TokenFile, row: int) -> Sequence:
    """One example as the engine takes it."""
    ids, weights = data[row]
    return Sequence(tuple(ids.tolist()), tuple(float(weight) for weight in weights.tolist()))
