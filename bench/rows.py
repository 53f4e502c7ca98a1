"""Rows of token ids to train on: lengths as in real chats, no text, the same for every leg.

Which rows make up which step is decided here. Our method shuffles by the spec's seed, so rows are stored where that
shuffle looks for them; a peer reads them in the same order.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

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
Example: TypeAlias = (
    "Row | tuple[Row, Row, Row]"  # a conversation; or a prompt, the chosen answer and the rejected one
)


@dataclass(frozen=True)
class Talk:
    """Log-normal lengths in tokens; the last share of each row is supervised; `shared` ids stand before all of them."""

    median: int = 180
    p95: int = 700
    longest: int = 1024
    supervised: float = 0.35
    shared: int = 0

    def examples(self, count: int, *, vocabulary: int, seed: int) -> list[Example]:
        """So many conversations."""
        return [*draw(self, count, vocabulary=vocabulary, seed=seed)]


@dataclass(frozen=True)
class Duel:
    """Pairs of answers to one prompt: log-normal lengths in tokens, each with its 95th percentile."""

    prompt: Talk = Talk(median=400, p95=900, longest=1024)
    answer: Talk = Talk(median=150, p95=400, longest=512, supervised=1.0)

    def examples(self, count: int, *, vocabulary: int, seed: int) -> list[Example]:
        """So many pairs."""
        prompts, chosen, rejected = (
            draw(talk, count, vocabulary=vocabulary, seed=seed + place)
            for place, talk in enumerate((self.prompt, self.answer, self.answer))
        )
        silent = [Row(row.ids, [0] * len(row.ids)) for row in prompts]
        return list(zip(silent, chosen, rejected, strict=True))


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


def parts(example: Example) -> tuple[Row, ...]:
    """The rows of an example."""
    return (example,) if isinstance(example, Row) else example


def length(example: Example) -> int:
    """Its tokens, a prompt once."""
    return sum(len(row.ids) for row in parts(example))


def at_random(rows: Sequence[Example], batch: int, steps: int) -> list[Example]:
    """The rows of so many steps, as they come."""
    return list(rows[: batch * steps])


def by_length(rows: Sequence[Example], batch: int, steps: int) -> list[Example]:
    """Rows of about one length in each step; steps spread over all lengths, short and long ones in turns."""
    ordered = sorted(rows, key=length)
    groups = [ordered[i : i + batch] for i in range(0, len(ordered) - batch + 1, batch)]
    chosen = [groups[i * len(groups) // steps] for i in range(steps)]
    third = -(-steps // 3)
    mixed = [chosen[j] for i in range(third) for j in (i, i + third, i + 2 * third) if j < steps]
    return [row for group in mixed for row in group]


def store(path: Path, rows: Sequence[Example], *, seed: int) -> TokenFile:
    """A token file from which the first epoch under this seed meets the rows in the order given."""
    order = epoch_order(len(rows), seed=seed, epoch=0)
    placed: list[Example] = [rows[0]] * len(rows)
    for row, place in zip(rows, order, strict=True):
        placed[place] = row
    longest = max(length(row) for row in rows)
    form = "chat" if isinstance(rows[0], Row) else "preference"
    tokens.write(path, [parts(row) for row in placed], max_length=longest, format=form)
    return TokenFile.open(path)


def steps_of(spec: RunSpec, examples: int) -> list[list[int]]:
    """The numbers of the examples of every step of a run, over all its epochs."""
    starts = [place * spec.batch_size for place in range(steps_per_epoch(examples, spec.batch_size))]
    orders = [epoch_order(examples, seed=spec.seed, epoch=epoch) for epoch in range(spec.n_epochs)]
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
