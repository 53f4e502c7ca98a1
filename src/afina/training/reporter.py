"""What a run leaves behind: events, resume points, checkpoints and the final adapter, all in its own folder."""

import os
import time
from contextlib import suppress
from pathlib import Path

from afina.blobs import make_folder, sync_folder
from afina.engine.engine import Engine
from afina.schemas.fine_tuning import StepMetrics
from afina.schemas.runs import (
    CheckpointSaved,
    Finished,
    ResumePointSaved,
    RunEvent,
    RunSpec,
    Started,
    Stepped,
    Stopped,
    run_event,
)
from afina.training import resume_points

LONGEST = 30.0  # seconds between two resume points
OVERHEAD = 20  # the next one comes sooner where they cost no more than one part in so many of the time
LEAST = 5  # and later where all weights are written: they never take more than one part in so many


def events_in(file: Path) -> list[RunEvent]:
    """The whole lines of a run's events; the last one may have been cut off."""
    text = file.read_bytes()
    return [run_event.validate_json(line) for line in text[: text.rfind(b"\n") + 1].splitlines()]


class RunStopped(Exception):
    """The run was told to stop and has written its last resume point."""


class Reporter:
    """The only writer of a run folder; `step` is the number of steps already done."""

    def __init__(self, spec: RunSpec, engine: Engine, *, step: int = 0):
        self.spec = spec
        self.engine = engine
        self.step = step
        self.stopping = False
        self.folder = Path(spec.folder)
        self.events = (self.folder / "events.jsonl").open("a", encoding="utf-8")
        sync_folder(self.folder)
        self.resume_due = 0.0  # the first step writes one: a job is never lost from its first seconds on

    def emit(self, event: RunEvent) -> None:
        """Append one line; the follower reads whole lines only."""
        self.events.write(event.model_dump_json(exclude_none=True) + "\n")
        self.events.flush()

    def sync(self) -> None:
        """What was emitted survives a power cut: needed before anything that makes it unrepeatable."""
        os.fsync(self.events.fileno())

    def started(self, total_steps: int) -> None:
        """The first event of a run."""
        self.emit(Started(step=self.step, total_steps=total_steps))

    async def stepped(self, metrics: StepMetrics, *, checkpoint: bool) -> None:
        """Report a step, then save what is due after it, a `checkpoint` where the method wants one.

        Raises `RunStopped` if the run was told to stop.
        """
        self.step = metrics.step
        self.emit(Stepped(metrics=metrics))
        if checkpoint:
            path = await self.save_adapter(f"checkpoints/step-{self.step}")
            self.emit(CheckpointSaved(path=path, metrics=metrics))
        if checkpoint or self.stopping or time.monotonic() >= self.resume_due:
            await self.write_resume_point()
        if self.stopping:
            self.emit(Stopped(step=self.step))
            raise RunStopped

    async def finished(self, best: CheckpointSaved | None = None) -> None:
        """Say the last word, with the adapter as it is now, or as it was at the best checkpoint."""
        if best is None:
            self.emit(Finished(step=self.step, path=await self.save_adapter("final")))
        else:
            self.emit(Finished(step=self.step, path=best.path, best=best.metrics.step))
        self.sync()

    def checkpoints(self) -> list[CheckpointSaved]:
        """Those of this run and of its predecessors, up to the step at hand; `path` leads there from our folder."""
        found: list[CheckpointSaved] = []
        for file in sorted(self.folder.parent.glob("*/events.jsonl"), key=lambda file: int(file.parent.name)):
            for event in events_in(file):
                if isinstance(event, CheckpointSaved) and event.metrics.step <= self.step:
                    path = f"../{file.parent.name}/{event.path}"
                    found.append(event.model_copy(update={"path": path}))
        return found

    async def save_adapter(self, path: str) -> str:
        """The adapter as it is now, durable under `path` in the run folder before an event speaks of it."""
        make_folder(self.folder / path)
        await self.engine.save(self.spec.adapter, self.folder / path)
        return path

    async def write_resume_point(self) -> None:
        """Save the state; the next one is due when its cost is a small part of the time since, or after `LONGEST`.

        The events come first: steps that a resumed run does not take again must have their figures.
        """
        self.sync()
        begun = time.monotonic()
        point = await resume_points.write(
            self.folder / "resume",
            self.step,
            lambda path: self.engine.save(self.spec.adapter, path, state=True),
        )
        cost = time.monotonic() - begun
        self.resume_due = time.monotonic() + max(min(LONGEST, OVERHEAD * cost), LEAST * cost)
        self.emit(ResumePointSaved(step=point.step, path=str(point.path.relative_to(self.folder))))

    def close(self) -> None:
        """No more events. What a full disk did not take is given up."""
        with suppress(OSError):
            self.events.close()
