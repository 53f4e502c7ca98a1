"""The yardstick: a 5-gram model of the same tokens, by interpolated absolute discounting with continuation counts.

Source: Chen and Goodman, An Empirical Study of Smoothing Techniques (1999), section 3.6, with one discount.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from shape import VOCABULARY

ORDER, DISCOUNT = 5, 0.75
Ids = NDArray[np.int64]


@dataclass(frozen=True)
class Level:
    """Counts of one order: grams are context x VOCABULARY + token, sorted; a gram's place is its number."""

    grams: Ids
    counts: Ids
    totals: Ids  # by context: what followed it, in all
    kinds: Ids  # by context: how many different tokens followed it


class NGrams:
    """A model of token ids that gives the probability of each token after up to four others."""

    def __init__(self, ids: Sequence[int] | Ids) -> None:
        tokens = np.asarray(ids, dtype=np.int64)
        self.levels: list[Level] = []
        numbers = np.zeros(len(tokens) + 1, dtype=np.int64)  # of the context before each token
        contexts = 1
        for order in range(1, ORDER + 1):
            keys = numbers[: len(tokens) - order + 1] * VOCABULARY + tokens[order - 1 :]
            grams, places, seen = np.unique(keys, return_inverse=True, return_counts=True)
            self.levels.append(_level(grams, seen, contexts))
            numbers, contexts = places, len(grams)
        self._count_continuations(tokens)

    def _count_continuations(self, tokens: Ids) -> None:
        """Below the highest order, count the different tokens that stand before a gram, not its occurrences."""
        for order in range(1, ORDER):
            longer = _numbers(self.levels, tokens, order + 1)
            firsts = np.unique(longer, return_index=True)[1]
            inner = _numbers(self.levels, tokens[1:], order)[firsts]
            lower = self.levels[order - 1]
            counts = np.bincount(inner, minlength=len(lower.grams))
            self.levels[order - 1] = _level(lower.grams, counts, len(lower.totals))

    def logprobs(self, ids: Sequence[int]) -> NDArray[np.float64]:
        """Return the natural log-probability of each id but the first, given up to four ids before it."""
        tokens = np.asarray(ids, dtype=np.int64)
        probability = np.full(len(tokens) - 1, 1 / VOCABULARY)
        for order, level in enumerate(self.levels, 1):
            places = np.arange(max(1, order - 1), len(tokens))
            contexts = self._contexts(tokens, places, order)
            known = contexts >= 0
            places, contexts = places[known], contexts[known]
            total, kinds = level.totals[contexts], level.kinds[contexts]
            found = _find(level.grams, contexts * VOCABULARY + tokens[places])
            count = np.where(found >= 0, level.counts[found], 0)
            used = total > 0
            at = places[used] - 1
            kept = np.maximum(count - DISCOUNT, 0) + DISCOUNT * kinds * probability[places - 1]
            probability[at] = (kept / np.maximum(total, 1))[used]
        return np.log(probability)

    def _contexts(self, tokens: Ids, places: Ids, order: int) -> Ids:
        """Return the number of the gram before each place, -1 where training never saw it."""
        numbers = np.zeros(len(places), dtype=np.int64)
        for back in range(order - 1, 0, -1):
            keys = numbers * VOCABULARY + tokens[places - back]
            step = _find(self.levels[order - 1 - back].grams, keys)
            numbers = np.where(numbers >= 0, step, -1)
        return numbers


def _level(grams: Ids, counts: Ids, contexts: int) -> Level:
    before = grams // VOCABULARY
    totals = np.bincount(before, weights=counts, minlength=contexts).astype(np.int64)
    return Level(grams, counts, totals, np.bincount(before[counts > 0], minlength=contexts))


def _numbers(levels: list[Level], tokens: Ids, order: int) -> Ids:
    """Return the number of the gram of this order that starts at each token."""
    numbers = np.zeros(len(tokens), dtype=np.int64)
    for step in range(order):
        keys = numbers[: len(tokens) - step] * VOCABULARY + tokens[step:]
        numbers = np.searchsorted(levels[step].grams, keys)
    return numbers


def _find(grams: Ids, keys: Ids) -> Ids:
    """Return the place of each key, -1 where it is not there."""
    places = np.minimum(np.searchsorted(grams, keys), len(grams) - 1)
    return np.where(grams[places] == keys, places, -1)
