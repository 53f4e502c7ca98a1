"""A tuned model beside its base, and beside the base with a prompt: figures with intervals, and what they show.

It is given replies and likelihoods, and knows nothing of how they were made.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from afina.evals import intervals
from afina.evals.intervals import Interval
from afina.evals.lexical import rouge_l, stated, term_overlap

ArmName = Literal["base", "prompted", "tuned"]
Metric = Literal["loss", "token_accuracy", "rouge_l", "all_parts", "term_overlap"]
Outcome = Literal["better", "worse", "not_shown"]
LOWER_IS_BETTER: frozenset[Metric] = frozenset({"loss"})


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
    """One way of answering all cases, in their order."""

    name: ArmName
    replies: tuple[Reply, ...]
    likelihoods: tuple[Likelihood, ...]

    @property
    def prompt_tokens(self) -> float:
        """Tokens read for one answer, on average."""
        return sum(reply.prompt_tokens for reply in self.replies) / len(self.replies)


@dataclass(frozen=True)
class Measured:
    """One metric over one arm as a ratio of sums over cases."""

    parts: tuple[float, ...]
    wholes: tuple[float, ...]

    @property
    def interval(self) -> Interval:
        """The figure and how sure it is."""
        return intervals.ratio(self.parts, self.wholes)


@dataclass(frozen=True)
class Row:
    """One metric: a figure for each arm, in the arms' order."""

    metric: Metric
    figures: tuple[Interval, ...]


@dataclass(frozen=True)
class Verdict:
    """What is shown of the tuned model against another arm; `difference` is tuned minus the other, paired."""

    metric: Metric
    against: ArmName
    outcome: Outcome
    difference: Interval


@dataclass(frozen=True)
class Comparison:
    """The table and what it shows."""

    rows: tuple[Row, ...]
    verdicts: tuple[Verdict, ...]


def compare(cases: Sequence[Case], arms: Sequence[Arm], headings: Sequence[str] = ()) -> Comparison:
    """Every metric over every arm; the last arm is the tuned one, and judged against the others."""
    rows: list[Row] = []
    verdicts: list[Verdict] = []
    for metric in metrics(cases, headings):
        measured = [measure(metric, cases, arm, headings) for arm in arms]
        row = Row(metric, tuple(one.interval for one in measured))
        rows.append(row)
        for place, arm in enumerate(arms[:-1]):
            paired = difference(measured[-1], measured[place])
            outcome = judge(metric, tuned=row.figures[-1], other=row.figures[place])
            verdicts.append(Verdict(metric, arm.name, outcome, paired))
    return Comparison(tuple(rows), tuple(verdicts))


def metrics(cases: Sequence[Case], headings: Sequence[str]) -> list[Metric]:
    """What can be measured here: parts need headings, and terms a question that has some."""
    found: list[Metric] = ["loss", "token_accuracy", "rouge_l"]
    if headings:
        found.append("all_parts")
    if any(term_overlap(case.question, "") is not None for case in cases):
        found.append("term_overlap")
    return found


def measure(metric: Metric, cases: Sequence[Case], arm: Arm, headings: Sequence[str]) -> Measured:
    """A metric over the cases: loss and accuracy by tokens, everything else by answers."""
    tokens = tuple(float(one.tokens) for one in arm.likelihoods)
    if metric == "loss":
        return Measured(tuple(one.loss * one.tokens for one in arm.likelihoods), tokens)
    if metric == "token_accuracy":
        return Measured(tuple(float(one.correct) for one in arm.likelihoods), tokens)
    pairs = zip(cases, arm.replies, strict=True)
    values = [of_answer(metric, case, reply.text, headings) for case, reply in pairs]
    kept = tuple(value for value in values if value is not None)
    return Measured(kept, (1.0,) * len(kept))


def of_answer(metric: Metric, case: Case, answer: str, headings: Sequence[str]) -> float | None:
    """A metric of one answer; None where it says nothing about the case, whatever was answered."""
    if metric == "rouge_l":
        return rouge_l(case.reference, answer)
    if metric == "all_parts":
        return float(stated(answer, headings))
    return term_overlap(case.question, answer)


def difference(one: Measured, other: Measured) -> Interval:
    """One minus the other over the same resampled cases."""
    return intervals.difference((one.parts, one.wholes), (other.parts, other.wholes))


def judge(metric: Metric, *, tuned: Interval, other: Interval) -> Outcome:
    """Better or worse only where the intervals are apart."""
    high, low = ("worse", "better") if metric in LOWER_IS_BETTER else ("better", "worse")
    if tuned.above(other):
        return high
    return low if other.above(tuned) else "not_shown"
