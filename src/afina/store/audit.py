"""Who did what to which object, written in the transaction that did it."""

from collections.abc import Mapping

from sqlalchemy import insert

from afina import ids
from afina.schemas.record import Page, Record
from afina.store import clock
from afina.store.pages import page as page_of
from afina.store.scope import Scope
from afina.store.tables import audit

JOB_CREATED = "fine_tuning.job.created"
JOB_MOVED = "fine_tuning.job.moved"


class AuditEntry(Record):
    """One thing that was done."""

    id: str
    at: int
    actor: str
    action: str
    subject: str
    detail: dict[str, object]


def record(
    scope: Scope, action: str, subject: str, *, actor: str, detail: Mapping[str, object] | None = None
) -> None:
    """Write an entry; `detail` holds names and numbers, never users' data."""
    scope.connection.execute(
        insert(audit).values(
            id=ids.prefixed("audit_"),
            project_id=scope.project_id,
            at=clock.seconds(scope),
            actor=actor,
            action=action,
            subject=subject,
            detail=dict(detail or {}),
        )
    )


def page(
    scope: Scope,
    *,
    after: str | None = None,
    limit: int = 20,
    subject: str | None = None,
    ascending: bool = False,
) -> Page[AuditEntry]:
    """The project's entries, newest first; those of one object where `subject` names it."""
    mine = audit.c.project_id == scope.project_id
    where = None if subject is None else audit.c.subject == subject
    return page_of(
        scope, audit, AuditEntry, mine=mine, where=where, after=after, limit=limit, ascending=ascending
    )
