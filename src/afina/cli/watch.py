"""A job on the screen: status, steps, figures, time left, curve; a line an event where there is no screen."""

import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import typer
from rich.console import Group, RenderableType
from rich.live import Live
from rich.markup import escape
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from afina.cli.curve import draw
from afina.cli.follow import Update, follow
from afina.cli.language import _, decimal
from afina.cli.output import aside, clock, console, emit, span

if TYPE_CHECKING:
    from openai import OpenAI
    from openai.types.fine_tuning import FineTuningJob, FineTuningJobEvent

COLOURS = {"running": "cyan", "succeeded": "green", "failed": "red", "cancelled": "yellow"}


@dataclass(frozen=True)
class Step:
    """The figures of one step, as its event carries them."""

    number: int
    total: int
    at: int
    train_loss: float | None
    accuracy: float | None
    valid_loss: float | None
    reward: float | None = None
    valid_reward: float | None = None


def step_of(event: "FineTuningJobEvent") -> Step | None:
    """The step that an event tells of, if it does; a full validation counts before one of a part."""
    data = event.data
    if event.type != "metrics" or not isinstance(data, dict):
        return None
    figures = {str(name): value for name, value in data.items() if isinstance(value, int | float)}  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType]
    return Step(
        number=int(figures.get("step", 0)),
        total=int(figures.get("total_steps", 0)),
        at=event.created_at,
        train_loss=figures.get("train_loss"),
        accuracy=figures.get("train_mean_token_accuracy"),
        valid_loss=figures.get("full_valid_loss", figures.get("valid_loss")),
        reward=figures.get("train_mean_reward"),
        valid_reward=figures.get("full_valid_mean_reward"),
    )


def seconds_left(job: "FineTuningJob", steps: list[Step], now: float) -> float | None:
    """By the server's estimate, or by the steps so far; None while there is nothing to go by."""
    if job.estimated_finish is not None:
        return max(0.0, job.estimated_finish - now)
    if len(steps) < 2 or steps[-1].at == steps[0].at:
        return None
    pace = (steps[-1].at - steps[0].at) / (steps[-1].number - steps[0].number)
    return max(0.0, (steps[-1].total - steps[-1].number) * pace)


@dataclass
class Screen:
    """Everything seen of one job so far, drawn afresh at each update."""

    update: Update
    steps: list[Step] = field(default_factory=list[Step])
    said: str = ""

    def take(self, update: Update) -> None:
        """Add what is new."""
        self.update = update
        self.steps += [step for event in update.events if (step := step_of(event))]
        words = [event.message for event in update.events if event.type != "metrics"]
        self.said = words[-1] if words else self.said

    def __rich__(self) -> RenderableType:
        job = self.update.job
        colour = COLOURS.get(job.status, "white")
        title = Text.from_markup(f"[bold]{job.id}[/]  [{colour}]{_(job.status)}[/]  {escape(job.model)}")
        learnt = (step.reward if step.train_loss is None else step.train_loss for step in self.steps)
        curve = draw([value for value in learnt if value is not None])
        parts: list[RenderableType] = [title, Text(self.said, style="dim")]
        if self.steps:
            parts += [self.bar(self.steps[-1]), self.figures(self.steps[-1])]
        parts += [Text(row, style="cyan") for row in curve]
        if not self.update.reachable:
            parts.append(Text(_("the server does not answer; waiting for it"), style="yellow"))
        return Group(*parts)

    def bar(self, last: Step) -> RenderableType:
        """How far it is."""
        job = self.update.job
        left = seconds_left(job, self.steps, time.time()) if job.status == "running" else None
        row = Table.grid(padding=(0, 1))
        row.add_row(
            ProgressBar(total=max(1, last.total), completed=last.number, width=40),
            _("step {number}/{total}").format(number=last.number, total=last.total),
            "" if left is None else _("about {time} left").format(time=span(left)),
        )
        return row

    def figures(self, last: Step) -> RenderableType:
        """The newest of each figure."""
        losses = [step.valid_loss for step in self.steps if step.valid_loss is not None]
        rewards = [step.valid_reward for step in self.steps if step.valid_reward is not None]
        named = (
            ("loss", last.train_loss),
            ("token accuracy", last.accuracy),
            ("validation loss", losses[-1] if losses else None),
            ("reward", last.reward),
            ("validation reward", rewards[-1] if rewards else None),
        )
        return Text(
            "   ".join(f"{_(name)} {decimal(f'{value:.3f}')}" for name, value in named if value is not None)
        )


def watch(client: "OpenAI", job_id: str, *, json: bool) -> "FineTuningJob":
    """Follow a job to its end; Ctrl-C leaves it running and says how to come back."""
    updates = follow(client, job_id)
    try:
        if console().is_terminal and not json:
            return draw_live(updates)
        return print_events(updates, json=json)
    except KeyboardInterrupt:
        aside().print(
            "\n"
            + _("the job goes on; come back with: {command}").format(command=f"afina jobs watch {job_id}")
        )
        raise typer.Exit(130) from None


def draw_live(updates: Iterable[Update]) -> "FineTuningJob":
    """One picture that changes."""
    screen: Screen | None = None
    with Live(console=console(), refresh_per_second=4) as live:
        for update in updates:
            screen = screen or Screen(update)
            screen.take(update)
            live.update(screen)
    assert screen is not None
    return screen.update.job


def print_events(updates: Iterable[Update], *, json: bool) -> "FineTuningJob":
    """A line an event, for logs, pipes and programs; the caller adds the last word on the job."""
    job: FineTuningJob | None = None
    for update in updates:
        job = update.job
        for event in update.events:
            print_event(event, json=json)
    assert job is not None
    return job


def print_event(event: "FineTuningJobEvent", *, json: bool) -> None:
    """One event on one line."""
    if json:
        emit(event.to_dict())
    else:
        console().print(f"{clock(event.created_at)}  {event.message}", markup=False)
