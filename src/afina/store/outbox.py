"""Webhook events that wait for delivery; a row is written in the transaction of what it tells."""

from sqlalchemy import insert, select, update

from afina import ids
from afina.schemas.record import Record
from afina.store import clock
from afina.store.rows import from_row
from afina.store.scope import Scope, System
from afina.store.tables import outbox


class OutboxEvent(Record):
    """Something that ended, such as `fine_tuning.job.succeeded`; `subject` is the id of what did."""

    id: str
    project_id: str
    type: str
    subject: str
    created_at: int
    delivered_at: int | None = None


def add(scope: Scope, type: str, subject: str) -> None:
    """Let the project's webhooks know."""
    scope.connection.execute(
        insert(outbox).values(
            id=ids.prefixed("evt_"),
            project_id=scope.project_id,
            type=type,
            subject=subject,
            created_at=clock.seconds(scope),
        )
    )


def waiting(system: System, limit: int = 100) -> list[OutboxEvent]:
    """What has not been delivered, oldest first."""
    query = select(outbox).where(outbox.c.delivered_at.is_(None)).order_by(outbox.c.seq).limit(limit)
    return [from_row(OutboxEvent, row) for row in system.connection.execute(query)]


def delivered(system: System, event_id: str) -> None:
    """Note that an event has reached its receivers."""
    now = clock.seconds(system)
    system.connection.execute(update(outbox).where(outbox.c.id == event_id).values(delivered_at=now))
