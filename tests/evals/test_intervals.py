"""Bootstrap intervals: repeatable, around the figure, as wide as theory says, and paired where items are."""

import math
from statistics import NormalDist

import numpy as np
import pytest

from afina.evals.intervals import Interval, difference, expanded, mean, ratio, together


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


@pytest.mark.parametrize(("items", "least"), [(10, 0.90), (40, 0.93)])
def test_intervals_of_few_items_hold_what_they_promise(items: int, least: float):
    random = np.random.default_rng(4)
    ones = [1.0] * items
    held = 0
    for _ in range(300):
        found = difference((list(random.normal(0, 1, items)), ones), ([0.0] * items, ones))
        held += found.low <= 0 <= found.high
    assert held / 300 >= least


def test_several_intervals_hold_together_where_each_is_wider():
    assert together(1) == pytest.approx(0.95)
    assert together(10) == pytest.approx(0.995)
    values, ones = list(np.random.default_rng(5).random(40)), [1.0] * 40
    one, other = (difference((values, ones), ([0.0] * 40, ones), level=level) for level in (0.95, 0.995))
    assert other.low < one.low < one.value == other.value < one.high < other.high


@pytest.mark.parametrize(
    ("tail", "items", "student"), [(0.025, 20, -2.093), (0.0025, 60, -2.916), (0.025, 1000, -1.962)]
)
def test_tails_are_as_students(tail: float, items: int, student: float):
    expected = NormalDist().cdf(student * math.sqrt(items / (items - 1)))
    assert expanded(tail, items) == pytest.approx(expected, rel=0.02)


def test_intervals_that_touch_are_not_apart():
    assert Interval(2, 1.5, 3).above(Interval(1, 0, 1.4))
    assert not Interval(2, 1.5, 3).above(Interval(1, 0, 1.5))


@pytest.mark.parametrize(("parts", "wholes"), [([], []), ([1.0], [0.0]), ([1.0], [1.0, 2.0])])
def test_what_has_no_interval_is_refused(parts: list[float], wholes: list[float]):
    with pytest.raises(ValueError, match="interval"):
        ratio(parts, wholes)
