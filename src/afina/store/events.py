"""A job's history, numbered without gaps; figures of a step exist once, however often it was trained."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from sqlalchemy import insert, select

from afina import ids
from afina.schemas.fine_tuning import JobEvent
from afina.schemas.record import Page
from afina.store import clock, jobs, work
from afina.store.pages import page as page_of
from afina.store.rows import to_row
from afina.store.scope import Scope
from afina.store.tables import job_events

Level = Literal["info", "warn", "error"]


@dataclass(frozen=True)
class NewEvent:
    """An event before it has a number; `step` says that these are the figures of a step."""

    message: str
    level: Level = "info"
    data: Mapping[str, object] | None = None
    step: int | None = None

    @property
    def type(self) -> Literal["message", "metrics"]:
        """Figures are `metrics`, all else is a `message`."""
        return "message" if self.step is None else "metrics"


def append(scope: Scope, job_id: str, events: Sequence[NewEvent], *, fence: int | None) -> list[JobEvent]:
    """Add events in order and return those that are new; figures of a step that is known are left out.

    `fence` is the one of the work that the events come from; None where no run is speaking.
    """
    jobs.require(
        scope, job_id, hold=True
    )  # numbers have no gaps because one transaction at a time gives them
    if fence is not None:
        work.require(scope, job_id, fence)
    known = known_steps(scope, job_id, events)
    fresh: list[NewEvent] = []
    for event in events:
        if event.step is None or event.step not in known:
            fresh.append(event)
        known |= {event.step} if event.step is not None else set()
    return write(scope, job_id, fresh)


def write(scope: Scope, job_id: str, events: Sequence[NewEvent]) -> list[JobEvent]:
    """The events as numbered rows; their time never goes back, whatever the clock does."""
    newest = select(job_events.c.number, job_events.c.created_at).where(job_events.c.job_id == job_id)
    last = scope.connection.execute(newest.order_by(job_events.c.seq.desc()).limit(1)).one_or_none()
    number, earlier = (last.number, last.created_at) if last else (0, 0)
    now = max(clock.seconds(scope), earlier)
    written = [numbered(event, number + offset, now) for offset, event in enumerate(events, 1)]
    owner = {"project_id": scope.project_id, "job_id": job_id}
    rows = [
        to_row(job_events, event) | owner | {"step": new.step}
        for event, new in zip(written, events, strict=True)
    ]
    if rows:
        scope.connection.execute(insert(job_events), rows)
    return written


def numbered(event: NewEvent, number: int, now: int) -> JobEvent:
    """The event as clients will see it."""
    return JobEvent(
        id=ids.event_id(),
        created_at=now,
        level=event.level,
        message=event.message,
        type=event.type,
        data=None if event.data is None else dict(event.data),
        number=number,
    )


def known_steps(scope: Scope, job_id: str, events: Sequence[NewEvent]) -> set[int]:
    """Which of the steps in `events` have figures already."""
    steps = {event.step for event in events if event.step is not None}
    if not steps:
        return set()
    query = select(job_events.c.step).where(job_events.c.job_id == job_id, job_events.c.step.in_(steps))
    return {step for step in scope.connection.execute(query).scalars() if step is not None}


def metrics(scope: Scope, job_id: str, *, beyond: int = 0) -> list[dict[str, object]]:
    """The figures of every step that has been reported, in the order of the steps; of those behind `beyond`."""
    query = select(job_events.c.data).where(
        job_events.c.project_id == scope.project_id,
        job_events.c.job_id == job_id,
        job_events.c.step > beyond,
    )
    return list(scope.connection.execute(query.order_by(job_events.c.step)).scalars())


def page(
    scope: Scope, job_id: str, *, after: str | None = None, limit: int = 20, ascending: bool = False
) -> Page[JobEvent]:
    """A job's events, newest first."""
    jobs.require(scope, job_id)
    mine = (job_events.c.project_id == scope.project_id) & (job_events.c.job_id == job_id)
    return page_of(scope, job_events, JobEvent, mine=mine, after=after, limit=limit, ascending=ascending)
