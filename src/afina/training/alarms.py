"""What the rewards of a run should make its owner look at: a pure function of the figures so far.

Each alarm is raised once, at the first step at which it holds.
"""

from collections.abc import Callable, Sequence
from statistics import fmean

from afina.schemas.fine_tuning import StepMetrics

STEPS = 5  # that are looked at together
ALL = 0.999
GROWTH = 2.0
GAP = 0.2  # of the reward
WIDENED = 0.1

Figures = Sequence[StepMetrics]


def raised(figures: Figures) -> list[tuple[int, str]]:
    """The alarms that these steps raise: each with its step, in words."""
    found = ((begins(figures), text) for begins, text in ALARMS.items())
    return [(figures[count - 1].step, text) for count, text in found if count is not None]


def flat_zero(figures: Figures) -> int | None:
    """Nothing has earned anything in the first steps. This and the others: the number of steps until it holds."""
    first = figures[:STEPS]
    return STEPS if len(first) == STEPS and all(of.train_mean_reward == 0 for of in first) else None


def instant_one(figures: Figures) -> int | None:
    """Everything has earned everything from the first step on."""
    first = figures[0].train_mean_reward if figures else None
    return 1 if first is not None and first >= ALL else None


def longer(figures: Figures) -> int | None:
    """Replies have become much longer than they were."""
    lengths = [of.completion_tokens_mean or 0.0 for of in figures]
    counts = range(2 * STEPS, len(lengths) + 1)
    return next((count for count in counts if grown(lengths[:STEPS], lengths[count - STEPS : count])), None)


def grown(first: Sequence[float], last: Sequence[float]) -> bool:
    """Whether the last lengths are much more than the first ones."""
    return fmean(last) > GROWTH * max(1.0, fmean(first))


def gap(figures: Figures) -> int | None:
    """The training reward has left the validation reward behind."""
    first = None
    for count in range(1, len(figures) + 1):
        found = gap_at(figures[max(0, count - STEPS) : count])
        first = found if first is None else first
        if first is not None and found is not None and found > GAP and found - first > WIDENED:
            return count
    return None


def gap_at(figures: Figures) -> float | None:
    """By how much of itself the training reward of some steps exceeds the validation reward of the last one.

    None where that has none.
    """
    valid = figures[-1].full_valid_mean_reward
    train = [of.train_mean_reward for of in figures if of.train_mean_reward is not None]
    if valid is None or not train:
        return None
    scale = max(abs(fmean(train)), abs(valid))
    return (fmean(train) - valid) / scale if scale else 0.0


ALARMS: dict[Callable[[Figures], int | None], str] = {
    flat_zero: (
        f"No sample has earned a reward in the first {STEPS} steps: there is nothing to learn from. Begin with "
        "supervised examples of good answers, or choose a grader that rewards parts of an answer"
    ),
    instant_one: (
        "All samples of the first step have earned the full reward: there is nothing to learn. "
        "Look whether the grader accepts anything, or take harder prompts"
    ),
    longer: (
        "Samples have become more than twice as long as at the beginning. "
        "Look whether the grader rewards length"
    ),
    gap: (
        "The training reward rises without the validation reward: the model may be learning the training prompts "
        "by heart, or how to please the grader. The best checkpoint by validation reward is kept"
    ),
}
