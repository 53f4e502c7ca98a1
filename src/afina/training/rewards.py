"""What replies earn: graded, compared within their group, and counted for the figures of a step."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from statistics import fmean, stdev

from afina.data.strict_json import JsonObject
from afina.graders.grade import Grade, added
from afina.schemas.graders import Grader, GraderErrors, GraderTokens, MultiGrader
from afina.training.looks import Heard
from afina.training.rollouts import Questions, Rollout

# A grader, given a reply and an item.
Judge = Callable[[str, JsonObject], Awaitable[Grade]]

PARSE_ERROR_ALONE = GraderErrors(sample_parse_error=True)
LEAST_DEVIATION = 1e-4  # so that a group of nearly equal rewards is not blown up


@dataclass(frozen=True)
class Graded:
    """A reply and its grade. A reply that is not in the form that the grader reads earns 0: that is its own fault."""

    rollout: Rollout
    grade: Grade

    @property
    def unparsed(self) -> bool:
        """Whether the reply was not JSON where the grader wanted some."""
        return self.grade.errors == PARSE_ERROR_ALONE

    @property
    def reward(self) -> float | None:
        """None where the grader failed: that must not count as 0."""
        return 0.0 if self.unparsed else self.grade.reward

    @property
    def heard(self) -> Heard:
        """As it is kept of a look at the validation file."""
        return Heard(
            question=self.rollout.question,
            text=self.rollout.text,
            prompt_tokens=len(self.rollout.prompt),
            completion_tokens=len(self.rollout.ids),
            reward=self.reward,
            errors=self.grade.errors,
            reason=self.grade.reason,
            sub_rewards=dict(self.grade.sub_rewards),
            said=list(self.grade.said),
        )


async def graded(
    groups: Sequence[Sequence[Rollout]], questions: Questions, judge: Judge
) -> list[list[Graded]]:
    """All replies with their grades. Of equal replies to a question one is graded, and the others earn the same."""
    first: dict[tuple[int, str], Rollout] = {}
    for rollout in (rollout for group in groups for rollout in group):
        first.setdefault((rollout.question, rollout.text), rollout)
    judged = await asyncio.gather(*(judge(text, questions.items[number]) for number, text in first))
    grades = dict(zip(first, judged, strict=True))

    def one(rollout: Rollout) -> Graded:
        said = (rollout.question, rollout.text)
        grade = grades[said]  # what it cost is counted once
        return Graded(rollout, grade if rollout is first[said] else replace(grade, seconds=0.0, said=()))

    return [[one(rollout) for rollout in group] for group in groups]


def advantages(rewards: Sequence[float | None]) -> list[float]:
    """How much better each reply of a group is than their mean, in their standard deviation.

    0 for all where all are equal, and for those without a reward, which the others are not compared with.
    Source: Shao et al. 2024, "DeepSeekMath", section 4.1.2.
    """
    known = [reward for reward in rewards if reward is not None]
    if len(known) < 2 or max(known) == min(known):
        return [0.0] * len(rewards)
    mean, deviation = fmean(known), stdev(known) + LEAST_DEVIATION
    return [0.0 if reward is None else (reward - mean) / deviation for reward in rewards]


@dataclass(frozen=True)
class Tally:
    """All graded replies of a step, or of one look at the validation file."""

    replies: Sequence[Graded]

    @classmethod
    def of(cls, groups: Iterable[Iterable[Graded]]) -> "Tally":
        """Of all groups."""
        return cls([one for group in groups for one in group])

    @property
    def failed(self) -> int:
        """Replies that the grader has given no reward to."""
        return sum(one.reward is None for one in self.replies)

    @property
    def mean_reward(self) -> float | None:
        """Over those that have one."""
        return mean(one.reward for one in self.replies)

    @property
    def mean_parse_error(self) -> float:
        """The share of replies that were not in the form that the grader reads."""
        return fmean(one.unparsed for one in self.replies)

    @property
    def completion_tokens(self) -> int:
        """Of all replies."""
        return sum(len(one.rollout.ids) for one in self.replies)

    @property
    def prompt_tokens(self) -> int:
        """Of all replies, each with its prompt."""
        return sum(len(one.rollout.prompt) for one in self.replies)

    @property
    def mean_reasoning_tokens(self) -> float:
        """Tokens of a reply's reasoning."""
        return fmean(one.rollout.thought for one in self.replies)

    def mean_of(self, grader: Grader, name: str) -> float | None:
        """The mean reward by one part of the grader."""
        if not isinstance(grader, MultiGrader):
            return self.mean_reward
        return mean(0.0 if one.unparsed else one.grade.sub_rewards.get(name) for one in self.replies)

    def failures_of(self, grader: Grader, name: str) -> int:
        """How often one part of the grader has given no reward."""
        if not isinstance(grader, MultiGrader):
            return self.failed
        return sum(one.reward is None and name not in one.grade.sub_rewards for one in self.replies)

    @property
    def seconds(self) -> float:
        """What grading a reply took, on average."""
        return fmean(one.grade.seconds for one in self.replies)

    @property
    def judges(self) -> dict[str, GraderTokens]:
        """What each grading model has read and written."""
        found: dict[str, GraderTokens] = {}
        for said in (said for one in self.replies for said in one.grade.said):
            found[said.model] = added(found.get(said.model, GraderTokens()), said.tokens)
        return found


def names(grader: Grader) -> list[str]:
    """The parts of a grader that have figures of their own."""
    return list(grader.named) if isinstance(grader, MultiGrader) else [grader.name]


def mean(values: Iterable[float | None]) -> float | None:
    """The mean of those that are there, if any are."""
    known = [value for value in values if value is not None]
    return fmean(known) if known else None
