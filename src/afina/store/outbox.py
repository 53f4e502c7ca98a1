"""Webhook events: a row is written in the transaction of what it tells, with a piece of work for each receiver."""

from sqlalchemy import insert, select, update

from afina import ids
from afina.errors import NotFound, clipped
from afina.schemas.record import Record
from afina.store import clock, webhooks, work
from afina.store.rows import from_row
from afina.store.scope import Scope, System
from afina.store.tables import outbox
from afina.store.tables import work as queue

KIND = "webhook"


class OutboxEvent(Record):
    """Something that ended, such as `fine_tuning.job.succeeded`; `subject` is the id of what did."""

    id: str
    project_id: str
    type: str
    subject: str
    created_at: int
    delivered_at: int | None = None


def add(scope: Scope, type: str, subject: str) -> None:
    """Let the project's webhooks know; where there are none that want to, there is nothing to wait for."""
    event_id, now = ids.prefixed("evt_"), clock.seconds(scope)
    receivers = webhooks.told_of(scope, type)
    scope.connection.execute(
        insert(outbox).values(
            id=event_id,
            project_id=scope.project_id,
            type=type,
            subject=subject,
            created_at=now,
            delivered_at=None if receivers else now,
        )
    )
    for endpoint_id in receivers:
        work.enqueue(scope, f"{event_id}/{endpoint_id}", KIND)


def get(scope: Scope, event_id: str) -> OutboxEvent:
    """One of the project's events."""
    query = select(outbox).where(outbox.c.project_id == scope.project_id, outbox.c.id == event_id)
    row = scope.connection.execute(query).one_or_none()
    if row is None:
        raise NotFound(f"No such event: {clipped(event_id)}")
    return from_row(OutboxEvent, row)


def waiting(system: System, limit: int = 100) -> list[OutboxEvent]:
    """What has not been delivered, oldest first."""
    query = select(outbox).where(outbox.c.delivered_at.is_(None)).order_by(outbox.c.seq).limit(limit)
    return [from_row(OutboxEvent, row) for row in system.connection.execute(query)]


def settle(scope: Scope, claim: work.Claim) -> None:
    """One delivery is over; with the last of them, so is its event."""
    event_id = claim.subject.partition("/")[0]
    mine = (outbox.c.project_id == scope.project_id) & (outbox.c.id == event_id)
    # Two deliveries that end at the same moment wait here for one another: else each would see the other's work.
    scope.connection.execute(select(outbox.c.id).where(mine).with_for_update())
    work.finish(scope, claim)
    others = select(queue.c.seq).where(queue.c.subject.startswith(f"{event_id}/", autoescape=True))
    done = update(outbox).where(mine, ~others.exists()).values(delivered_at=clock.seconds(scope))
    scope.connection.execute(done)
