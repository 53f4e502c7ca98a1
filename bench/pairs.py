"""A B A B: the legs take turns in one run, so that what the machine does meanwhile touches them alike."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

from bench import load
from bench.options import Options
from bench.statistics import NOISY, Comparison, Pair


class Answer(Protocol):
    """What a turn ends with."""

    @property
    def seconds(self) -> float:
        """How long the work took, by the clock of whoever did it."""
        ...


A = TypeVar("A", bound=Answer)


@dataclass(frozen=True)
class Sample(Generic[A]):
    """One turn of one leg, and the share of the machine that others used meanwhile."""

    answer: A
    foreign: float


Round = dict[str, Sample[A]]


@dataclass(frozen=True)
class Limits:
    """So many quiet rounds, at most twice as many in all, and none that would not end in time."""

    rounds: int
    deadline: float

    @classmethod
    def of(cls, options: Options, share: float = 1.0) -> "Limits":
        """What was asked for, within a share of the time."""
        return cls(options.pairs, options.deadline(share))


def interleave(turns: Mapping[str, Callable[[], A]], limits: Limits) -> list[Round[A]]:
    """Rounds in which each leg has its turn, in the same order each time; at least one."""
    rounds: list[Round[A]] = []
    longest = 0.0
    while not rounds or more(rounds, limits, longest):
        begun = time.monotonic()
        rounds.append({name: sample(turn) for name, turn in turns.items()})
        longest = max(longest, time.monotonic() - begun)
    return rounds


def sample(turn: Callable[[], A]) -> Sample[A]:
    """One turn, with an eye on the machine."""
    since = load.mark()
    answer = turn()
    return Sample(answer, load.foreign(since))


def more(rounds: list[Round[A]], limits: Limits, longest: float) -> bool:
    """Whether another round is wanted, and can end before the deadline."""
    undisturbed = sum(all(one.foreign <= NOISY for one in each.values()) for each in rounds)
    wanted = undisturbed < limits.rounds and len(rounds) < 2 * limits.rounds
    return wanted and time.monotonic() + longest <= limits.deadline


def compare(rounds: list[Round[A]], ours: str, peer: str) -> Comparison:
    """Two legs of the same rounds."""
    return Comparison(
        tuple(
            Pair(
                each[ours].answer.seconds,
                each[peer].answer.seconds,
                each[ours].foreign,
                each[peer].foreign,
            )
            for each in rounds
        )
    )
