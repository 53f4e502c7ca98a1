"""What a person sees: curves, units, and the picture of a job."""

import io

import pytest
from hypothesis import given
from hypothesis import strategies as st
from openai.types.fine_tuning import FineTuningJob, FineTuningJobEvent
from rich.console import Console

from afina.cli.curve import draw
from afina.cli.follow import Update
from afina.cli.output import ago, size, span
from afina.cli.watch import Screen, Step, seconds_left


def test_a_falling_curve_falls():
    assert draw([4.0, 3.0, 2.0, 1.0], height=2) == ["4.000 █▃  ", "1.000 ██▆▁"]


@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=300))
def test_any_curve_fits(values):
    rows = draw(values, width=50, height=3)
    assert len(rows) == 3
    assert len({len(row) for row in rows}) == 1
    assert float(rows[0].split()[0]) >= float(rows[-1].split()[0])


def test_no_values_no_curve():
    assert draw([]) == []


@pytest.mark.parametrize(
    ("seconds", "text"), [(0, "0 s"), (59, "59 s"), (61, "1 min 1 s"), (3600, "1 h"), (90061, "1 d 1 h")]
)
def test_spans(seconds, text):
    assert span(seconds) == text


def test_times_and_sizes():
    assert ago(100.0, now=100.2) == "just now"
    assert ago(100.0, now=100.0 + 7300) == "2 h ago"
    assert [size(n) for n in (512, 18_637, 512 * 1024**2)] == ["512 B", "18.2 KB", "512.0 MB"]


def step(number: int, at: int) -> Step:
    return Step(number, total=10, at=at, train_loss=1.0, accuracy=0.5, valid_loss=None)


def test_time_left_follows_the_servers_estimate_else_the_pace(job):
    running = FineTuningJob.model_validate(job())
    assert seconds_left(running, [step(1, at=100), step(3, at=110)], now=110) == 35
    assert seconds_left(running, [step(1, at=100)], now=110) is None
    estimated = FineTuningJob.model_validate(job(estimated_finish=150))
    assert seconds_left(estimated, [], now=110) == 40


def test_the_picture_of_a_job_that_tries_things_out(job, event):
    figures = [
        {"step": 1, "total_steps": 9, "train_mean_reward": 0.25, "full_valid_mean_reward": 0.5},
        {"step": 2, "total_steps": 9, "train_mean_reward": 0.75},
    ]
    events = [event(of["step"], f"Step {of['step']}/9", of) for of in figures]
    running = FineTuningJob.model_validate(job())
    screen = Screen(Update(running, []))
    screen.take(Update(running, [FineTuningJobEvent.model_validate(e) for e in events]))
    console = Console(width=100, record=True, file=io.StringIO())
    console.print(screen)
    shown = console.export_text()
    assert "reward 0.750   validation reward 0.500" in shown
    assert "loss" not in shown


def test_the_picture_of_a_running_job(job, event):
    figures = {"step": 3, "total_steps": 10, "train_loss": 2.25, "train_mean_token_accuracy": 0.5}
    events = [event(1, "Fine-tuning job started"), event(2, "Step 3/10", {**figures, "full_valid_loss": 2.5})]
    running = FineTuningJob.model_validate(job())
    screen = Screen(Update(running, []))
    screen.take(Update(running, [FineTuningJobEvent.model_validate(e) for e in events], reachable=False))
    console = Console(width=100, record=True, file=io.StringIO())
    console.print(screen)
    shown = console.export_text()
    for words in (
        "ftjob-1  running  afina-tiny",
        "Fine-tuning job started",
        "step 3/10",
        "loss 2.250   token accuracy 0.500   validation loss 2.500",
        "the server does not answer; waiting for it",
    ):
        assert words in shown
