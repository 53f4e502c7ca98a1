"""Pairs of samples to figures: medians, quartiles, ranges; what somebody else's work disturbed is left out."""

import statistics
from collections.abc import Sequence
from dataclasses import dataclass

NOISY = 0.10  # of the machine's time taken by others: contention costs far more than in proportion
ENOUGH = 3  # quiet pairs, without which the noisy ones count too


@dataclass(frozen=True)
class Spread:
    """Where numbers lie; quartiles by linear interpolation."""

    median: float
    q1: float
    q3: float
    least: float
    most: float
    count: int

    @classmethod
    def of(cls, values: Sequence[float]) -> "Spread":
        """The spread of at least one number."""
        q1, median, q3 = (
            statistics.quantiles(values, n=4, method="inclusive") if len(values) > 1 else list(values) * 3
        )
        return cls(median, q1, q3, min(values), max(values), len(values))


@dataclass(frozen=True)
class Pair:
    """The same work, once by us and once by the peer, one right after the other."""

    ours: float
    peer: float
    foreign_ours: float
    foreign_peer: float

    @property
    def ratio(self) -> float:
        """Our speed over the peer's."""
        return self.peer / self.ours

    @property
    def noisy(self) -> bool:
        """Whether somebody else used the machine meanwhile."""
        return max(self.foreign_ours, self.foreign_peer) > NOISY


@dataclass(frozen=True)
class Comparison:
    """What the pairs of two legs say. Without enough quiet pairs all count, and `noisy` says so."""

    pairs: tuple[Pair, ...]

    @property
    def noisy(self) -> bool:
        """Whether the figures hold pairs that were disturbed."""
        return quiet(self.pairs) < ENOUGH

    @property
    def counted(self) -> tuple[Pair, ...]:
        """The pairs that the figures are made of."""
        return self.pairs if self.noisy else tuple(pair for pair in self.pairs if not pair.noisy)

    @property
    def ratio(self) -> Spread:
        """Our speed over the peer's, pair by pair."""
        return Spread.of([pair.ratio for pair in self.counted])

    @property
    def ours(self) -> Spread:
        """Our seconds."""
        return Spread.of([pair.ours for pair in self.counted])

    @property
    def peer(self) -> Spread:
        """The peer's seconds."""
        return Spread.of([pair.peer for pair in self.counted])


def quiet(pairs: Sequence[Pair]) -> int:
    """How many pairs nobody disturbed."""
    return sum(not pair.noisy for pair in pairs)
