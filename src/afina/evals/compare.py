"""A tuned model beside its base, and beside the base with a prompt: figures with intervals, and what they show.

It is given replies and likelihoods, and knows nothing of how they were made.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from afina.evals import intervals
from afina.evals.intervals import Interval
from afina.evals.lexical import rouge_l, stated
from afina.evals.measures import cohesion, coverage, term_overlap
from afina.evals.ready import Quality

ArmName = Literal["base", "prompted", "tuned"]
Metric = Literal[
    "loss",
    "token_accuracy",
    "rouge_l",
    "all_parts",
    "term_overlap",
    "coverage",
    "cohesion",
    "judged_relevance",
    "judged_completeness",
    "judged_coherence",
]
Outcome = Literal["better", "worse", "not_shown"]
Grades = Mapping[Quality, tuple[float | None, ...]]
LOWER_IS_BETTER: frozenset[Metric] = frozenset({"loss"})
JUDGED: Mapping[Quality, Metric] = {
    "relevance": "judged_relevance",
    "completeness": "judged_completeness",
    "coherence": "judged_coherence",
}


@dataclass(frozen=True)
class Case:
    """A held-out question and the answer that was written to it."""

    question: str
    reference: str


@dataclass(frozen=True)
class Reply:
    """What a model said, and how many tokens it had to read first."""

    text: str
    prompt_tokens: int


@dataclass(frozen=True)
class Likelihood:
    """How a model finds the written answer: tokens, mean loss in nats, and how many were its own choice."""

    tokens: int
    loss: float
    correct: int


@dataclass(frozen=True)
class Arm:
    """One way of answering all cases, in their order; `grades` are a model's, None where it could not say."""

    name: ArmName
    replies: tuple[Reply, ...]
    likelihoods: tuple[Likelihood, ...]
    grades: Grades = field(default_factory=dict[Quality, tuple[float | None, ...]])

    @property
    def prompt_tokens(self) -> float:
        """Tokens read for one answer, on average."""
        return sum(reply.prompt_tokens for reply in self.replies) / len(self.replies)


@dataclass(frozen=True)
class Measured:
    """One metric over one arm as a ratio of sums over cases; None where it says nothing of a case."""

    parts: tuple[float | None, ...]
    wholes: tuple[float, ...]

    @property
    def interval(self) -> Interval:
        """The figure and how sure it is."""
        return intervals.ratio(*self.of(self.known))

    @property
    def known(self) -> frozenset[int]:
        """The cases of which it says something."""
        return frozenset(place for place, part in enumerate(self.parts) if part is not None)

    def of(self, places: frozenset[int]) -> tuple[list[float], list[float]]:
        """Parts and wholes of some cases that it knows, in their order."""
        pairs = [(part, self.wholes[place]) for place, part in enumerate(self.parts) if place in places]
        return [part for part, _ in pairs if part is not None], [whole for _, whole in pairs]


@dataclass(frozen=True)
class Row:
    """One metric: a figure for each arm, in the arms' order."""

    metric: Metric
    figures: tuple[Interval, ...]


@dataclass(frozen=True)
class Duels:
    """On how many cases the tuned model was better, as good, or worse."""

    wins: int
    ties: int
    losses: int

    @property
    def win_rate(self) -> float:
        """The share of cases that were won; a tie is half of one."""
        return (self.wins + self.ties / 2) / (self.wins + self.ties + self.losses)


@dataclass(frozen=True)
class Verdict:
    """What is shown of the tuned model against another arm; `difference` is tuned minus the other, paired.

    The intervals of all metrics against an arm hold together.
    """

    metric: Metric
    against: ArmName
    outcome: Outcome
    difference: Interval
    duels: Duels


@dataclass(frozen=True)
class Comparison:
    """The table and what it shows."""

    rows: tuple[Row, ...]
    verdicts: tuple[Verdict, ...]

    @property
    def prompting_is_enough(self) -> bool:
        """Whether nothing shows that tuning is better than the prompt: no interval lies where it would be better.

        As the intervals hold together, it is missed in at most 5 of 100 comparisons of models that are alike.
        """
        return all(one.outcome != "better" for one in self.verdicts if one.against == "prompted")


def compare(cases: Sequence[Case], arms: Sequence[Arm], headings: Sequence[str] = ()) -> Comparison:
    """Every metric over every arm; the last arm is the tuned one, and judged against the others."""
    found: dict[Metric, list[Measured]] = {
        metric: [measure(metric, cases, arm, headings) for arm in arms]
        for metric in metrics(cases, arms, headings)
    }
    rows = tuple(Row(metric, tuple(one.interval for one in each)) for metric, each in found.items())
    judged = [one for place, arm in enumerate(arms[:-1]) for one in against(arm.name, place, found)]
    order = list(found)
    return Comparison(rows, tuple(sorted(judged, key=lambda one: order.index(one.metric))))


def against(arm: ArmName, place: int, found: Mapping[Metric, Sequence[Measured]]) -> list[Verdict]:
    """The tuned model, which is the last one, beside the arm in this place: all metrics that both have, together."""
    pairs: dict[Metric, tuple[Measured, Measured]] = {
        metric: (each[-1], each[place])
        for metric, each in found.items()
        if each[-1].known & each[place].known
    }
    level = intervals.together(max(1, len(pairs)))
    return [verdict(metric, arm, *pair, level=level) for metric, pair in pairs.items()]


def metrics(cases: Sequence[Case], arms: Sequence[Arm], headings: Sequence[str]) -> list[Metric]:
    """What can be measured here: parts need headings, overlaps texts that have terms, and grades a model."""
    found: list[Metric] = ["loss", "token_accuracy", "rouge_l"]
    if headings:
        found.append("all_parts")
    if any(term_overlap(case.question, "") is not None for case in cases):
        found.append("term_overlap")
    if any(coverage(case.reference, "") is not None for case in cases):
        found.append("coverage")
    found.append("cohesion")
    for quality, metric in JUDGED.items():
        if all(any(grade is not None for grade in arm.grades.get(quality, ())) for arm in arms):
            found.append(metric)
    return found


def measure(metric: Metric, cases: Sequence[Case], arm: Arm, headings: Sequence[str]) -> Measured:
    """A metric over the cases: loss and accuracy by tokens, everything else by answers."""
    tokens = tuple(float(one.tokens) for one in arm.likelihoods)
    if metric == "loss":
        return Measured(tuple(one.loss * one.tokens for one in arm.likelihoods), tokens)
    if metric == "token_accuracy":
        return Measured(tuple(float(one.correct) for one in arm.likelihoods), tokens)
    for quality, judged in JUDGED.items():
        if metric == judged:
            return Measured(arm.grades[quality], (1.0,) * len(cases))
    pairs = zip(cases, arm.replies, strict=True)
    return Measured(
        tuple(of_answer(metric, case, reply.text, headings) for case, reply in pairs), (1.0,) * len(cases)
    )


def of_answer(metric: Metric, case: Case, answer: str, headings: Sequence[str]) -> float | None:
    """A metric of one answer; None where it says nothing about the case, whatever was answered."""
    match metric:
        case "rouge_l":
            return rouge_l(case.reference, answer)
        case "all_parts":
            return float(stated(answer, headings))
        case "coverage":
            return coverage(case.reference, answer)
        case "cohesion":
            return cohesion(answer)
        case _:
            return term_overlap(case.question, answer)


def verdict(
    metric: Metric, against: ArmName, tuned: Measured, other: Measured, *, level: float = intervals.LEVEL
) -> Verdict:
    """Better or worse only where the interval of the paired difference leaves zero out."""
    both = tuned.known & other.known
    one, two = tuned.of(both), other.of(both)
    found = intervals.difference(one, two, level=level)
    sign = -1 if metric in LOWER_IS_BETTER else 1
    outcome: Outcome = "not_shown"
    if not found.low <= 0 <= found.high:
        outcome = "better" if found.value * sign > 0 else "worse"
    gains = [sign * (a / w - b / v) for a, w, b, v in zip(*one, *two, strict=True)]
    wins, losses = sum(gain > 0 for gain in gains), sum(gain < 0 for gain in gains)
    return Verdict(metric, against, outcome, found, Duels(wins, len(gains) - wins - losses, losses))
