"""What is forgotten by itself, and after how long.

Users' own objects stay until they are deleted or expire. The audit log is never shortened by itself: it is evidence.
"""

from sqlalchemy import ColumnElement, Table, delete, select

from afina.store import clock, idempotency
from afina.store.jobs import UNFINISHED
from afina.store.scope import System
from afina.store.tables import fences, jobs, outbox, usage
from afina.store.tables import idempotency as idempotency_table
from afina.store.upload_tables import upload_parts, uploads

DAY = 24 * 3600
USAGE_SECONDS = 400 * DAY  # a year can be compared with the one before it, month by month
OUTBOX_SECONDS = 30 * DAY  # a delivery is given up after three days
UPLOAD_SECONDS = 30 * DAY  # after its creation, where an upload is no longer pending


def forget(system: System) -> int:
    """Delete what nobody asks for any more; returns how many rows there were."""
    return sum(system.connection.execute(delete(table).where(old)).rowcount for table, old in expired(system))


def expired(system: System) -> list[tuple[Table, ColumnElement[bool]]]:
    """The rows that can go, in the order in which they can.

    A fence outlives its work only where the subject may come back into the queue, as a paused job does.
    """
    now = clock.seconds(system)
    ended = uploads.c.status != "pending"
    return [
        (usage, usage.c.at < now - USAGE_SECONDS),
        (outbox, outbox.c.created_at < now - OUTBOX_SECONDS),
        (fences, fences.c.subject.not_in(select(jobs.c.id).where(jobs.c.status.in_(UNFINISHED)))),
        (upload_parts, upload_parts.c.upload_id.in_(select(uploads.c.id).where(ended))),
        (uploads, ended & (uploads.c.created_at < now - UPLOAD_SECONDS)),
        (idempotency_table, idempotency.too_old(now)),
    ]
