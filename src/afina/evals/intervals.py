"""How sure a figure is: percentile bootstrap over items (Efron, 1979), seeded, so that a report can be repeated.

Percentiles of few items are too near to each other: their tails are widened as Student's are (Hesterberg, 2015, "What
Teachers Should Know About the Bootstrap", expanded percentile interval).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

RESAMPLES = 4_000
AT_ONCE = 100  # resamples in memory together
LEVEL = 0.95
SEED = 20_270_114


@dataclass(frozen=True)
class Interval:
    """A figure and the ends of its interval, of 95% unless another level was asked for."""

    value: float
    low: float
    high: float

    def above(self, other: "Interval") -> bool:
        """Whether the intervals are apart, this one on the side of larger figures."""
        return self.low > other.high


def mean(values: Sequence[float], *, seed: int = SEED) -> Interval:
    """The mean of at least one value."""
    return ratio(values, [1.0] * len(values), seed=seed)


def ratio(parts: Sequence[float], wholes: Sequence[float], *, seed: int = SEED) -> Interval:
    """The sum of parts over the sum of wholes, items resampled whole: a loss per token over answers."""
    above, below = _sums(parts, wholes, seed)
    return _interval(sum(parts) / sum(wholes), above / below, items=len(parts), level=LEVEL)


def difference(
    one: tuple[Sequence[float], Sequence[float]],
    other: tuple[Sequence[float], Sequence[float]],
    *,
    level: float = LEVEL,
    seed: int = SEED,
) -> Interval:
    """One ratio minus another over the same items: every resample holds the same items of both."""
    value = sum(one[0]) / sum(one[1]) - sum(other[0]) / sum(other[1])
    (a, b), (c, d) = _sums(*one, seed), _sums(*other, seed)
    return _interval(value, a / b - c / d, items=len(one[0]), level=level)


def together(comparisons: int) -> float:
    """The level of each of so many intervals that shall all hold in 95 of 100 cases (Bonferroni)."""
    return 1 - (1 - LEVEL) / comparisons


def _sums(
    parts: Sequence[float], wholes: Sequence[float], seed: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Both sums in each resample: equal seeds and counts draw equal items."""
    if not parts or len(parts) != len(wholes) or min(wholes) <= 0:
        raise ValueError("An interval needs items, and a whole above 0 for each.")
    both, random = np.array([parts, wholes], np.float64), np.random.default_rng(seed)
    drawn = (random.integers(0, len(parts), size=(AT_ONCE, len(parts))) for _ in range(RESAMPLES // AT_ONCE))
    above, below = np.concatenate([both[:, items].sum(2) for items in drawn], axis=1)
    return above, below


def _interval(value: float, resampled: NDArray[np.float64], *, items: int, level: float) -> Interval:
    tail = expanded((1 - level) / 2, items)
    low, high = np.quantile(resampled, [tail, 1 - tail])
    return Interval(value, float(low), float(high))


def expanded(tail: float, items: int) -> float:
    """The percentile that leaves out as much as `tail` does where the items are many."""
    if items < 2:
        return tail
    normal, degrees = NormalDist(), items - 1
    z = normal.inv_cdf(tail)
    # Student's quantile by the first two terms of its expansion (Abramowitz and Stegun, 26.7.5).
    student = z + (z**3 + z) / (4 * degrees) + (5 * z**5 + 16 * z**3 + 3 * z) / (96 * degrees**2)
    return normal.cdf(student * (items / degrees) ** 0.5)
