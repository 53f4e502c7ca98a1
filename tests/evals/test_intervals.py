"""Bootstrap intervals: repeatable, around the figure, as wide as theory says, and paired where items are."""

import math

import numpy as np
import pytest

from afina.evals.intervals import Interval, difference, mean, ratio


def test_equal_values_leave_no_doubt():
    assert mean([0.5] * 30) == Interval(0.5, 0.5, 0.5)


def test_the_same_seed_gives_the_same_interval():
    values = list(np.random.default_rng(0).random(50))
    assert mean(values) == mean(values)
    assert mean(values, seed=1) != mean(values, seed=2)


def test_an_interval_is_as_wide_as_theory_says():
    values = list(np.random.default_rng(1).normal(3.0, 2.0, 400))
    found = mean(values)
    assert found.value == pytest.approx(np.mean(values))
    assert found.low < found.value < found.high
    assert found.high - found.low == pytest.approx(2 * 1.96 * np.std(values) / math.sqrt(400), rel=0.1)


def test_a_ratio_weighs_items_by_their_whole():
    found = ratio([10.0, 0.0], [10.0, 90.0])
    assert found.value == pytest.approx(0.1)
    assert (found.low, found.high) == (0.0, 1.0)


def test_a_difference_is_paired():
    """Items differ much among each other, and by the same little everywhere: only pairing shows it."""
    items = list(np.random.default_rng(2).normal(0.0, 10.0, 100))
    ones = [1.0] * 100
    better = [item + 0.5 for item in items]
    found = difference((better, ones), (items, ones))
    assert (found.value, found.low, found.high) == pytest.approx((0.5, 0.5, 0.5))
    assert not mean(better).above(mean(items))


def test_intervals_that_touch_are_not_apart():
    assert Interval(2, 1.5, 3).above(Interval(1, 0, 1.4))
    assert not Interval(2, 1.5, 3).above(Interval(1, 0, 1.5))


@pytest.mark.parametrize(("parts", "wholes"), [([], []), ([1.0], [0.0]), ([1.0], [1.0, 2.0])])
def test_what_has_no_interval_is_refused(parts: list[float], wholes: list[float]):
    with pytest.raises(ValueError, match="interval"):
        ratio(parts, wholes)
