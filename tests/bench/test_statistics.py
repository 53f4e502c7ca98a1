"""What the figures are made of: quartiles, disturbed pairs, and whose work is whose."""

import pytest
from bench.statistics import Comparison, Pair, Spread


def pairs(*noise: float, ours: float = 1.0) -> tuple[Pair, ...]:
    """Pairs whose ratios are 2, 3, 4 and so on."""
    return tuple(Pair(ours, i * ours, foreign, 0.0) for i, foreign in enumerate(noise, 2))


def test_quartiles_are_interpolated() -> None:
    assert Spread.of([4.0, 1.0, 2.0, 3.0]) == Spread(2.5, 1.75, 3.25, 1.0, 4.0, 4)


def test_one_number_is_its_own_spread() -> None:
    assert Spread.of([7.0]) == Spread(7.0, 7.0, 7.0, 7.0, 7.0, 1)


def test_a_ratio_is_our_speed_over_the_peers() -> None:
    assert Pair(ours=2.0, peer=6.0, foreign_ours=0, foreign_peer=0).ratio == 3.0


def test_ratios_are_taken_pair_by_pair() -> None:
    """The ratio of medians would be 1 here."""
    found = Comparison((Pair(1, 4, 0, 0), Pair(2, 2, 0, 0), Pair(4, 1, 0, 0))).ratio
    assert (found.median, found.least, found.most) == (1.0, 0.25, 4.0)


def test_disturbed_pairs_are_left_out() -> None:
    compared = Comparison(pairs(0.0, 0.5, 0.0, 0.0))
    assert not compared.noisy
    assert [pair.ratio for pair in compared.counted] == [2, 4, 5]
    assert compared.ratio.median == 4


def test_a_peer_that_was_disturbed_counts_as_little_as_we_do() -> None:
    assert Pair(1, 9, 0.0, 0.2).noisy


def test_without_enough_quiet_pairs_all_count_and_it_is_said() -> None:
    compared = Comparison(pairs(0.0, 0.5, 0.5, 0.0))
    assert compared.noisy
    assert compared.ratio.count == 4


@pytest.mark.parametrize("foreign", [0.0, 0.1])
def test_a_little_work_of_others_is_no_noise(foreign: float) -> None:
    assert not Pair(1, 2, foreign, foreign).noisy
