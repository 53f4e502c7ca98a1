"""Rows of token ids to train on: lengths as in real chats, no text, the same for every leg.

Which rows make up which step is decided here. Our method shuffles by the spec's seed, so rows are stored where that
shuffle looks for them; a peer reads them in the same order.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from afina.data import tokens
from afina.data.render import Rendered
from afina.data.tokens import TokenFile
from afina.schemas.runs import RunSpec
from afina.training.batches import epoch_order, steps_per_epoch
from bench.pace import Tokens

FIRST_ID = 16  # below it stand special tokens
SHORTEST = 16
POOL = 512  # rows to choose from, so that rows of a step sorted by length are nearly equally long

Row = Rendered  # ids, and a weight of 0 or 1 for each


@dataclass(frozen=True)
class Talk:
    """Log-normal lengths in tokens; the last share of each row is supervised; `shared` ids stand before all of them."""

    median: int = 180
    p95: int = 700
    longest: int = 1024
    supervised: float = 0.35
    shared: int = 0


def draw(talk: Talk, count: int, *, vocabulary: int, seed: int) -> list[Row]:
    """Rows of uniformly random ids."""
    random = np.random.default_rng(seed)
    spread = np.log(talk.p95 / talk.median) / 1.645
    lengths = np.exp(random.normal(np.log(talk.median), spread, count)).round()
    shared = random.integers(FIRST_ID, vocabulary, talk.shared).tolist()
    rows: list[Row] = []
    for length in np.clip(lengths, SHORTEST, talk.longest).astype(int).tolist():
        answer = max(1, round(talk.supervised * length))
        ids = [*shared, *random.integers(FIRST_ID, vocabulary, length).tolist()]
        rows.append(Row(ids, [0] * (len(ids) - answer) + [1] * answer))
    return rows


def at_random(rows: Sequence[Row], batch: int, steps: int) -> list[Row]:
    """The rows of so many steps, as they come."""
    return list(rows[: batch * steps])


def by_length(rows: Sequence[Row], batch: int, steps: int) -> list[Row]:
    """Rows of about one length in each step; steps spread over all lengths, short and long ones in turns."""
    ordered = sorted(rows, key=lambda row: len(row.ids))
    groups = [ordered[i : i + batch] for i in range(0, len(ordered) - batch + 1, batch)]
    chosen = [groups[i * len(groups) // steps] for i in range(steps)]
    third = -(-steps // 3)
    mixed = [chosen[j] for i in range(third) for j in (i, i + third, i + 2 * third) if j < steps]
    return [row for group in mixed for row in group]


def store(path: Path, rows: Sequence[Row], *, seed: int) -> TokenFile:
    """A token file from which the first epoch under this seed meets the rows in the order given."""
    order = epoch_order(len(rows), seed=seed, epoch=0)
    placed: list[Row] = [rows[0]] * len(rows)
    for row, place in zip(rows, order, strict=True):
        placed[place] = row
    tokens.write(path, [[row] for row in placed], max_length=max(len(row.ids) for row in rows))
    return TokenFile.open(path)


def steps_of(spec: RunSpec, data: TokenFile) -> list[list[int]]:
    """The rows of every step of a run, over all its epochs."""
    starts = [place * spec.batch_size for place in range(steps_per_epoch(len(data), spec.batch_size))]
    orders = [epoch_order(len(data), seed=spec.seed, epoch=epoch) for epoch in range(spec.n_epochs)]
    return [order[start : start + spec.batch_size] for order in orders for start in starts]


def tokens_of(data: TokenFile, rows: Sequence[int]) -> Tokens:
    """What a step over these rows is given, without any padding."""
    ids, supervised = zip(*(_row(data, row) for row in rows), strict=True)
    stream = np.concatenate(ids)
    return Tokens(stream, np.concatenate(supervised), computed=len(stream))


def _row(data: TokenFile, row: int) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Nothing stands before the first token that could predict it."""
    ids, weights = data[row]
    supervised = weights.astype(bool)
    supervised[0] = False
    return ids.astype(np.int64), supervised
