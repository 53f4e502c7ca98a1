"""Turns what a run writes into rows, in groups, under one fence; what was turned before is not turned again."""

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from afina.schemas.fine_tuning import FineTuningJob, JobEvent, StepMetrics
from afina.schemas.runs import (
    CheckpointSaved,
    Failed,
    Finished,
    RunEvent,
    Stepped,
    Stopped,
    run_event,
)
from afina.store import events, jobs
from afina.store.events import NewEvent
from afina.store.scope import Scope
from afina.training import alarms
from afina.worker import looks, publish
from afina.worker.context import Context, Hold

LastWord = Finished | Stopped | Failed


@dataclass
class EventFile:
    """An `events.jsonl` and how far it was turned into rows; a line that is still being written waits."""

    path: Path
    offset: int = 0

    def new(self) -> tuple[list[RunEvent], int]:
        """The whole lines behind `offset`, and the offset behind them, which is kept once they are rows."""
        if not self.path.exists():
            return [], self.offset
        with self.path.open("rb") as file:
            file.seek(self.offset)
            text = file.read()
        whole = text[: text.rfind(b"\n") + 1]
        return [run_event.validate_json(line) for line in whole.splitlines()], self.offset + len(whole)


@dataclass
class Clock:
    """Steps per second of a run since its first figures, for the time that is left."""

    begun: float = 0.0
    first: int | None = None

    def finish(self, metrics: StepMetrics) -> int | None:
        """When the last step is to be expected, in unix seconds; None before the second step."""
        if self.first is None or metrics.total_steps is None or metrics.step <= self.first:
            self.first, self.begun = metrics.step, time.monotonic()
            return None
        per_step = (time.monotonic() - self.begun) / (metrics.step - self.first)
        return int(time.time() + per_step * (metrics.total_steps - metrics.step))


class Follower:
    """Follows the runs of one job, those of its earlier fences first."""

    def __init__(self, context: Context, hold: Hold, job: FineTuningJob):
        self.context = context
        self.hold = hold
        self.job = job
        self.step = 0
        self.folder = Path()  # of the run that said the last word
        self.clock: Clock | None = None

    def replay(self) -> LastWord | None:
        """Turn what earlier runs left behind; the last word of the last of them, if it came to say it."""
        last = None
        for folder in self.folders():
            last = self.turn(EventFile(folder / "events.jsonl"))
        return last

    def folders(self) -> list[Path]:
        """Run folders by fence."""
        found = self.context.runs(self.job.id).glob("*/")
        return sorted(found, key=lambda folder: int(folder.name))

    def start_clock(self) -> None:
        """From now on, figures come as their steps are taken."""
        self.clock = Clock()

    def turn(self, file: EventFile) -> LastWord | None:
        """Turn what is new in one run folder; the run's last word, once it is there.

        Where this is broken off it can be repeated: figures and checkpoints that are rows stay as they are.
        """
        last: LastWord | None = None
        group: list[NewEvent] = []
        found, offset = file.new()
        for event in found:
            if isinstance(event, Stepped):
                group.append(metrics_event(event.metrics))
                self.step = event.metrics.step
            elif isinstance(event, CheckpointSaved) and not self.final(event):
                self.write(group)
                group = []
                folder, step = file.path.parent, event.metrics.step
                looks.publish(self.context, self.hold, self.job, folder=folder, step=step)
                adapter = folder / event.path
                publish.checkpoint(self.context, self.hold, self.job, adapter=adapter, metrics=event.metrics)
            elif isinstance(event, Finished | Stopped | Failed):
                last = event
                self.folder = file.path.parent
        self.write(group)
        file.offset = offset
        return last

    def write(self, group: list[NewEvent]) -> None:
        """One group of events as rows."""
        if not group:
            return
        claim = self.hold.claim
        with self.context.database.scope(claim.project_id) as scope:
            written = events.append(scope, self.job.id, group, fence=claim.fence)
            if self.job.method.grader is not None and written:
                events.append(scope, self.job.id, list(self.alarms(scope, written)), fence=claim.fence)
            expected = self.clock and self.clock.finish(StepMetrics.model_validate(group[-1].data))
            if expected:
                jobs.change(scope, self.job.id, {"estimated_finish": expected}, fence=claim.fence)

    def alarms(self, scope: Scope, written: Sequence[JobEvent]) -> Iterator[NewEvent]:
        """What the rewards give cause for at the steps that are new; a step is that once, so is its alarm."""
        new = {int(event.data["step"]) for event in written if event.data is not None}
        figures = [StepMetrics.model_validate(data) for data in events.metrics(scope, self.job.id)]
        for step, text in alarms.raised(figures):
            if step in new:
                yield NewEvent(text, level="warn")

    def final(self, event: CheckpointSaved) -> bool:
        """Whether a checkpoint is the tuned model itself, which is published as such.

        Where the best one becomes the model, that is known at the end only, and all of them are published.
        """
        return self.job.method.grader is None and event.metrics.step == event.metrics.total_steps


def metrics_event(metrics: StepMetrics) -> NewEvent:
    """One step in OpenAI's words."""
    message = in_words(metrics) if metrics.train_loss is not None else rewards_in_words(metrics)
    return NewEvent(message, data=metrics.model_dump(exclude_none=True), step=metrics.step)


def rewards_in_words(metrics: StepMetrics) -> str:
    """A step of reinforcement."""
    message = f"Step {metrics.step}/{metrics.total_steps} "
    if metrics.train_mean_reward is not None:
        message += f", train mean reward={metrics.train_mean_reward:.2f}"
    if metrics.full_valid_mean_reward is not None:
        message += f", full validation mean reward={metrics.full_valid_mean_reward:.2f}"
    if metrics.full_valid_mean_parse_error is not None:
        message += f", full validation mean parse error={metrics.full_valid_mean_parse_error:.2f}"
    return message


def in_words(metrics: StepMetrics) -> str:
    """A step of a method that has a loss."""
    message = f"Step {metrics.step}/{metrics.total_steps}: training loss={metrics.train_loss:.2f}"
    if metrics.valid_loss is not None:
        message += f", validation loss={metrics.valid_loss:.2f}"
    if metrics.full_valid_loss is not None:
        message += f", full validation loss={metrics.full_valid_loss:.2f}"
    return message
