"""What is forgotten by itself, and what never is."""

import pytest
from sqlalchemy import func, select, text

from afina.store import idempotency, moves, outbox, retention, uploads, usage, work
from afina.store.database import Database
from afina.store.idempotency import Attempt
from afina.store.retention import DAY
from afina.store.tables import audit, fences
from afina.store.usage import Used


def rows(database: Database, table: str) -> int:
    with database.system(read=True) as system:
        return system.connection.execute(text(f"SELECT count(*) FROM {table}")).scalar_one()


def age(database: Database, table: str, column: str, days: int) -> None:
    with database.system() as system:
        system.connection.execute(text(f"UPDATE {table} SET {column} = {column} - {days * DAY}"))


def forget(database: Database) -> int:
    with database.system() as system:
        return retention.forget(system)


@pytest.mark.parametrize(
    ("table", "column", "days"),
    [
        ("usage", "at", 400),
        ("outbox", "created_at", 30),
        ("uploads", "created_at", 30),
        ("idempotency", "created_at", 1),
    ],
)
def test_rows_go_when_they_are_old(database: Database, project: str, new_upload, table, column, days):
    with database.scope(project) as scope:
        outbox.add(scope, "batch.completed", "batch_1")
        uploads.cancel(scope, new_upload(scope).upload_id)
        idempotency.remember(scope, Attempt("r", "k", "b"), "o")
    with database.system() as system:
        usage.record(system, [Used(project, "completions", "m", 1)])
    assert forget(database) == 0
    age(database, table, column, days)
    age(database, table, column, -1)
    assert (forget(database), rows(database, table)) == (0, 1)
    age(database, table, column, 2)
    assert (forget(database), rows(database, table)) == (1, 0)


def test_an_upload_that_is_open_stays_however_old(database: Database, project: str, new_upload):
    with database.scope(project) as scope:
        new_upload(scope)
    age(database, "uploads", "created_at", 1000)
    assert forget(database) == 0 and rows(database, "upload_parts") == 1


def test_a_fence_stays_where_its_job_may_come_back(database: Database, project: str, new_job, new_batch):
    with database.scope(project) as scope:
        paused, ended = new_job(scope).id, new_job(scope).id
        for job_id in (paused, ended):
            moves.move(scope, job_id, "queued", fence=None, event="e")
            moves.move(scope, job_id, "running", fence=None, event="e")
        moves.move(scope, paused, "paused", fence=None, event="e")
        moves.move(scope, ended, "cancelled", fence=None, event="e")
        work.remove(scope, new_batch(scope).id)
    assert rows(database, "fences") == 3 and forget(database) == 2
    with database.system(read=True) as system:
        assert system.connection.execute(select(fences.c.subject)).scalars().all() == [paused]


def test_the_audit_is_never_shortened(database: Database, project: str):
    with database.system(read=True) as system:
        before = system.connection.execute(select(func.count()).select_from(audit)).scalar_one()
    age(database, "audit", "at", 10_000)
    forget(database)
    assert rows(database, "audit") == before > 0
