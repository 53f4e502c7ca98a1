"""What the rewards of a run should make its owner look at: a pure function of the figures so far.

Each alarm is raised at the first step where it holds, so that a repeated look at the same figures raises none.
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


def raised(figures: Figures) -> list[str]:
    """The alarms that begin to hold with the last of these steps, in words."""
    return [text for holds, text in ALARMS.items() if holds(figures) and not earlier(holds, figures)]


def earlier(holds: Callable[[Figures], bool], figures: Figures) -> bool:
    """Whether an alarm held at a step before the last one."""
    return any(holds(figures[:count]) for count in range(1, len(figures)))


def flat_zero(figures: Figures) -> bool:
    """Nothing has earned anything in the first steps."""
    first = figures[:STEPS]
    return len(first) == STEPS and all(of.train_mean_reward == 0 for of in first)


def instant_one(figures: Figures) -> bool:
    """Everything has earned everything from the first step on."""
    first = figures[0].train_mean_reward
    return first is not None and first >= ALL


def longer(figures: Figures) -> bool:
    """Replies have become much longer than they were."""
    lengths = [of.completion_tokens_mean or 0.0 for of in figures]
    if len(lengths) < 2 * STEPS:
        return False
    return fmean(lengths[-STEPS:]) > GROWTH * max(1.0, fmean(lengths[:STEPS]))


def gap(figures: Figures) -> bool:
    """The training reward has left the validation reward behind."""
    found = (gap_at(figures[max(0, last - STEPS) : last]) for last in range(1, len(figures) + 1))
    gaps = [one for one in found if one is not None]
    return len(gaps) > 1 and gaps[-1] > GAP and gaps[-1] - gaps[0] > WIDENED


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


ALARMS: dict[Callable[[Figures], bool], str] = {
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
