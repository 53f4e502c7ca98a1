"""A create that is sent again makes no second object."""

import threading

import pytest
from sqlalchemy import text

from afina.errors import InvalidRequest
from afina.store import idempotency, jobs
from afina.store.database import Database
from afina.store.idempotency import Attempt

ROUTE = "POST /fine_tuning/jobs"


def age(database: Database, seconds: int) -> None:
    with database.system() as system:
        older = text("UPDATE idempotency SET created_at = created_at - :seconds")
        system.connection.execute(older, {"seconds": seconds})


def create(database: Database, project: str, attempt: Attempt, new_job) -> str:
    """What the API does: replay, or create and remember, in one transaction."""
    with database.scope(project) as scope:
        known = idempotency.replay(scope, attempt)
        if known is not None:
            return known.object_id
        job = new_job(scope)
        idempotency.remember(scope, attempt, job.id)
        return job.id


def test_a_key_is_replayed_for_a_day(database: Database, project: str, new_job):
    attempt = Attempt(ROUTE, "k", "body")
    first = create(database, project, attempt, new_job)
    assert create(database, project, attempt, new_job) == first
    age(database, 23 * 3600)
    assert create(database, project, attempt, new_job) == first
    age(database, 2 * 3600)
    second = create(database, project, attempt, new_job)
    assert second != first
    assert create(database, project, attempt, new_job) == second


def test_a_key_belongs_to_its_body_route_and_project(database: Database, project: str, other: str, new_job):
    first = create(database, project, Attempt(ROUTE, "k", "body"), new_job)
    with pytest.raises(InvalidRequest) as refused:
        create(database, project, Attempt(ROUTE, "k", "another body"), new_job)
    assert refused.value.code == "idempotency_key_reused"
    assert create(database, project, Attempt("POST /files", "k", "body"), new_job) != first
    assert create(database, other, Attempt(ROUTE, "k", "body"), new_job) != first


def test_first_attempts_are_wishes_and_retries_are_not(database: Database, project: str, new_job):
    wish, retry = Attempt(ROUTE, None, "body"), Attempt(ROUTE, None, "body", retries=1)
    first = create(database, project, wish, new_job)
    second = create(database, project, wish, new_job)
    assert first != second
    assert create(database, project, retry, new_job) == second
    assert create(database, project, Attempt(ROUTE, None, "other", retries=1), new_job) not in (first, second)
    age(database, 11 * 60)
    assert create(database, project, retry, new_job) != second


def test_a_retry_whose_first_attempt_never_arrived_creates(database: Database, project: str, new_job):
    first = create(database, project, Attempt(ROUTE, None, "body", retries=1), new_job)
    assert create(database, project, Attempt(ROUTE, None, "body", retries=2), new_job) == first


def test_a_key_that_spells_a_body_is_still_a_key(database: Database, project: str, new_job):
    first = create(database, project, Attempt(ROUTE, None, "body"), new_job)
    assert create(database, project, Attempt(ROUTE, "body:body", "body"), new_job) != first


def test_what_is_too_old_is_forgotten(database: Database, project: str, new_job):
    create(database, project, Attempt(ROUTE, "old", "body"), new_job)
    age(database, 25 * 3600)
    create(database, project, Attempt(ROUTE, "new", "body"), new_job)
    with database.system() as system:
        assert system.connection.execute(text("SELECT key FROM idempotency")).scalars().all() == ["key:new"]


@pytest.mark.parametrize("key", ["k", None])
def test_fifty_equal_attempts_at_once_make_one_job(
    database: Database, project: str, new_job, key: str | None
):
    made: list[str] = []
    start = threading.Barrier(50)

    def attempt() -> None:
        start.wait()
        made.append(create(database, project, Attempt(ROUTE, key, "body", retries=1), new_job))

    threads = [threading.Thread(target=attempt) for _ in range(50)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with database.read(project) as scope:
        assert [job.id for job in jobs.page(scope).data] == list(set(made))
    assert len(made) == 50
