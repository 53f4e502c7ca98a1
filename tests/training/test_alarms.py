"""Alarms: which figures raise one, and that each is raised once."""

from afina.schemas.fine_tuning import StepMetrics
from afina.training import alarms


def history(train, valid=(), lengths=()):
    return [
        StepMetrics(
            step=step + 1,
            train_mean_reward=reward,
            full_valid_mean_reward=valid[step] if step < len(valid) else None,
            completion_tokens_mean=lengths[step] if step < len(lengths) else 10.0,
        )
        for step, reward in enumerate(train)
    ]


def raised(figures):
    """(step, first word) of every alarm; those of fewer steps are among those of more."""
    found = alarms.raised(figures)
    for count in range(len(figures)):
        assert alarms.raised(figures[:count]) == [each for each in found if each[0] <= count]
    return [(step, text.split()[0]) for step, text in found]


def test_a_run_that_learns_raises_none():
    figures = history([step / 40 for step in range(1, 30)], [step / 41 for step in range(1, 30)])
    assert raised(figures) == []


def test_nothing_earned_in_five_steps():
    assert raised(history([0.0] * 9)) == [(5, "No")]
    assert raised(history([0.0] * 4 + [0.1] + [0.0] * 9)) == []


def test_everything_earned_at_once():
    assert raised(history([1.0, 0.5, 1.0])) == [(1, "All")]
    assert raised(history([0.9, 1.0, 1.0])) == []


def test_replies_that_grow():
    lengths = [10.0] * 5 + [12.0] * 5 + [30.0] * 10
    assert raised(history([0.5] * 20, lengths=lengths)) == [(13, "Samples")]
    assert raised(history([0.5] * 20, lengths=[10.0] * 5 + [19.0] * 15)) == []


def test_a_validation_reward_that_is_left_behind():
    train = [0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.9, 0.9]
    assert raised(history(train, [0.3] * 9)) == [(3, "The")]
    assert raised(history(train, train)) == []


def test_a_gap_that_was_there_from_the_start_is_none():
    assert raised(history([0.9] * 9, [0.4] * 9)) == []


def test_steps_without_figures_raise_nothing():
    assert raised([StepMetrics(step=step) for step in range(1, 12)]) == []
