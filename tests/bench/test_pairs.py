"""Who has a turn when, and when there are enough of them."""

import time
from collections.abc import Callable
from dataclasses import dataclass

import pytest
from bench.pairs import Limits, compare, interleave

from bench import load, pairs


@dataclass(frozen=True)
class Took:
    seconds: float


@pytest.fixture
def turns() -> tuple[list[str], dict[str, Callable[[], Took]]]:
    """Two legs that note in which order they are asked."""
    order: list[str] = []

    def leg(name: str, seconds: float) -> Callable[[], Took]:
        def turn() -> Took:
            order.append(name)
            return Took(seconds)

        return turn

    return order, {"ours": leg("ours", 1.0), "peer": leg("peer", 3.0)}


@pytest.fixture
def others(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """What others use of the machine, turn by turn."""

    def set_shares(*shares: float) -> None:
        left = iter(shares)
        monkeypatch.setattr(load, "foreign", lambda since: next(left))

    return set_shares


def test_legs_take_turns(
    turns: tuple[list[str], dict[str, Callable[[], Took]]], others: Callable[..., None]
) -> None:
    others(*[0.0] * 6)
    order, legs = turns
    found = interleave(legs, Limits(rounds=3, deadline=time.monotonic() + 60))
    assert order == ["ours", "peer"] * 3
    assert compare(found, "ours", "peer").ratio.median == 3.0


def test_a_disturbed_round_is_taken_again(
    turns: tuple[list[str], dict[str, Callable[[], Took]]], others: Callable[..., None]
) -> None:
    others(0.0, 0.0, 0.9, 0.0, 0.0, 0.0, 0.0, 0.0)
    found = interleave(turns[1], Limits(rounds=3, deadline=time.monotonic() + 60))
    assert [pair.noisy for pair in compare(found, "ours", "peer").pairs] == [False, True, False, False]


def test_a_machine_that_is_never_quiet_gets_twice_the_rounds(
    turns: tuple[list[str], dict[str, Callable[[], Took]]], others: Callable[..., None]
) -> None:
    others(*[0.5] * 8)
    found = interleave(turns[1], Limits(rounds=2, deadline=time.monotonic() + 60))
    assert len(found) == 4
    assert compare(found, "ours", "peer").noisy


def test_one_round_is_taken_when_the_time_is_over(
    turns: tuple[list[str], dict[str, Callable[[], Took]]],
) -> None:
    assert len(interleave(turns[1], Limits(rounds=5, deadline=time.monotonic()))) == 1


def test_our_own_work_is_not_that_of_others() -> None:
    """A share is a share, whatever this machine is doing besides."""
    since = load.mark()
    sum(i * i for i in range(300_000))
    assert load.mark().ours > since.ours
    assert 0.0 <= load.foreign(since) <= 1.0


def test_rounds_keep_what_each_leg_said(
    turns: tuple[list[str], dict[str, Callable[[], Took]]], others: Callable[..., None]
) -> None:
    others(0.0, 0.05)
    (found,) = interleave(turns[1], Limits(rounds=1, deadline=time.monotonic() + 60))
    assert found == {"ours": pairs.Sample(Took(1.0), 0.0), "peer": pairs.Sample(Took(3.0), 0.05)}
