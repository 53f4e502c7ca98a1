"""The life of a job: every move, legal or not, and what each one leaves behind."""

import itertools
import threading
from typing import get_args

import pytest
from sqlalchemy import text

from afina import ids
from afina.errors import FenceLost, IllegalMove, NotFound
from afina.schemas.fine_tuning import FINAL, FineTuningJob, JobError, JobStatus
from afina.schemas.models import Model
from afina.store import audit, events, jobs, models, moves, outbox, webhooks, work
from afina.store.database import Database
from afina.store.jobs import JobChanges
from afina.store.scope import Scope

STATUSES: tuple[JobStatus, ...] = get_args(JobStatus)
LEGAL_BY_THE_BOOK = {
    ("validating_files", "queued"),
    ("queued", "running"),
    ("running", "paused"),
    ("paused", "queued"),
    ("running", "succeeded"),
    *itertools.product(("validating_files", "queued", "running", "paused"), ("failed", "cancelled")),
}


@pytest.fixture
def job(database: Database, project: str, new_job) -> FineTuningJob:
    with database.scope(project) as scope:
        return new_job(scope)


def put(scope: Scope, job_id: str, status: JobStatus) -> None:
    """A status from nowhere, so that each move can be tried by itself."""
    scope.connection.execute(
        text("UPDATE jobs SET status = :status WHERE id = :id"), {"status": status, "id": job_id}
    )


def claimed(database: Database) -> work.Claim:
    with database.system() as system:
        claim = work.claim(system, "w", ["validate"], lease_seconds=3600.0)
    assert claim is not None
    return claim


def result(to: JobStatus) -> JobChanges:
    return {"fine_tuned_model": "ft:afina-tiny:personal::abcdefgh"} if to == "succeeded" else {}


def test_every_pair_of_statuses_is_legal_by_the_book_or_refused(
    database: Database, project: str, job: FineTuningJob
):
    for before, after in itertools.product(STATUSES, STATUSES):
        expected = ZeroDivisionError if (before, after) in LEGAL_BY_THE_BOOK else IllegalMove
        with pytest.raises(expected), database.scope(project) as scope:
            put(scope, job.id, before)
            moves.move(scope, job.id, after, fence=None, event="moved", changes=result(after))
            raise ZeroDivisionError  # it was allowed; undo it


def test_a_move_writes_status_event_and_audit_entry(database: Database, project: str, job: FineTuningJob):
    fence = claimed(database).fence
    with database.scope(project) as scope:
        moved = moves.move(
            scope, job.id, "queued", fence=fence, event="Files validated", changes={"estimated_finish": 99}
        )
        assert moved.status == "queued"
        assert jobs.get(scope, job.id) == moved
        assert moved.estimated_finish == 99
        assert [event.message for event in events.page(scope, job.id).data] == ["Files validated"]
        entry = audit.page(scope, subject=job.id).data[0]
        assert (entry.actor, entry.action) == ("worker", "fine_tuning.job.moved")
        assert entry.detail == {"from": "validating_files", "to": "queued", "fence": fence}
    with database.system() as system:
        assert outbox.waiting(system) == []


def test_the_end_is_told_once_and_leaves_the_queue(database: Database, project: str, job: FineTuningJob):
    fence = claimed(database).fence
    error = JobError(code="invalid_training_file", message="no", param="training_file")
    told = {"name": "x", "url": "https://x.example", "secret": "whsec_", "actor": "a"}
    with database.scope(project) as scope:
        endpoint = webhooks.insert(scope, event_types=["fine_tuning.job.failed"], **told)
        webhooks.insert(scope, event_types=["fine_tuning.job.succeeded"], **told)
        failed = moves.move(
            scope, job.id, "failed", fence=fence, event="no", level="error", changes={"error": error}
        )
        assert failed.finished_at is not None
        assert failed.error == error
        assert jobs.get(scope, job.id) == failed
        assert not work.holds(scope, job.id, fence)
    with database.system() as system:
        waiting = outbox.waiting(system)
        assert [(event.type, event.subject) for event in waiting] == [("fine_tuning.job.failed", job.id)]
        assert waiting[0].id.startswith("evt_")
        delivery = work.claim(system, "w", [outbox.KIND], lease_seconds=60.0)
        assert delivery is not None and delivery.subject == f"{waiting[0].id}/{endpoint.id}"
        assert work.claim(system, "w", [outbox.KIND], lease_seconds=60.0) is None
    with database.scope(project) as scope:
        outbox.settle(scope, delivery)
    with database.system() as system:
        assert outbox.waiting(system) == []


def test_what_nobody_wants_to_hear_waits_for_nothing(database: Database, project: str, job: FineTuningJob):
    with database.scope(project) as scope:
        moves.move(scope, job.id, "cancelled", fence=None, event="cancelled")
    with database.system() as system:
        assert outbox.waiting(system) == []
        assert work.claim(system, "w", [outbox.KIND], lease_seconds=60.0) is None


def test_cancelling_takes_the_work_from_whoever_holds_it(
    database: Database, project: str, job: FineTuningJob
):
    claim = claimed(database)
    with database.scope(project) as scope:
        cancelled = moves.move(scope, job.id, "cancelled", fence=None, event="cancelled", actor="key_x")
        assert cancelled.status == "cancelled"
    changes: JobChanges = {"estimated_finish": 1}
    for write in (
        lambda scope: moves.move(scope, job.id, "queued", fence=claim.fence, event="queued"),
        lambda scope: events.append(scope, job.id, [events.NewEvent("more")], fence=claim.fence),
        lambda scope: jobs.change(scope, job.id, changes, fence=claim.fence),
    ):
        with pytest.raises(FenceLost), database.scope(project) as scope:
            write(scope)
    with database.system() as system:
        assert not work.renew(system, claim, 60.0)


def test_a_paused_job_leaves_the_queue_and_comes_back_with_a_higher_fence(
    database: Database, project: str, job: FineTuningJob
):
    claim = claimed(database)
    with database.scope(project) as scope:
        put(scope, job.id, "running")
        jobs.want(scope, jobs.get(scope, job.id), "paused")
        changes: JobChanges = {"estimated_finish": 7}
        jobs.change(scope, job.id, changes, fence=claim.fence)
        assert jobs.get(scope, job.id).wanted == "paused"
        paused = moves.move(scope, job.id, "paused", fence=claim.fence, event="paused")
        assert (paused.wanted, paused.estimated_finish, paused.finished_at) == (None, None, None)
        assert not work.holds(scope, job.id, claim.fence)
    with database.scope(project) as scope:
        moves.move(scope, job.id, "queued", fence=None, event="resumed")
    with database.system() as system:
        again = work.claim(system, "w", ["train"], lease_seconds=60.0)
    assert again is not None and again.fence > claim.fence


@pytest.mark.parametrize("final", sorted(FINAL))
def test_a_final_job_stays_as_it_is(database: Database, project: str, job: FineTuningJob, final: JobStatus):
    with database.scope(project) as scope:
        put(scope, job.id, final)
    for status in STATUSES:
        with pytest.raises(IllegalMove) as refused, database.scope(project) as scope:
            moves.move(scope, job.id, status, fence=None, event="again", changes=result(status))
        assert refused.value.code == "invalid_state"


def test_success_and_a_model_come_together(database: Database, project: str, job: FineTuningJob):
    for to, changes in (("succeeded", {}), ("failed", result("succeeded"))):
        with pytest.raises(IllegalMove, match="if, and only if"), database.scope(project) as scope:
            put(scope, job.id, "running")
            moves.move(scope, job.id, to, fence=None, event="?", changes=changes)


def test_a_move_that_fails_leaves_nothing_behind(database: Database, project: str, job: FineTuningJob):
    with database.read(project) as scope:
        before = (jobs.get(scope, job.id), audit.page(scope).data, events.page(scope, job.id).data)
    with pytest.raises(RuntimeError), database.scope(project) as scope:
        moves.move(scope, job.id, "cancelled", fence=None, event="cancelled")
        raise RuntimeError
    with database.read(project) as scope:
        assert before == (jobs.get(scope, job.id), audit.page(scope).data, events.page(scope, job.id).data)
    with database.system() as system:
        assert outbox.waiting(system) == []
    assert claimed(database).subject == job.id


def test_an_unknown_job_cannot_move(database: Database, project: str):
    with pytest.raises(NotFound), database.scope(project) as scope:
        moves.move(scope, "ftjob-x", "cancelled", fence=None, event="cancelled")


def test_publishing_and_cancelling_have_one_winner(database: Database, project: str, new_job):
    for _ in range(6):
        with database.scope(project) as scope:
            job = new_job(scope)
            put(scope, job.id, "running")
        race(database, project, job.id, claimed(database).fence)
        with database.read(project) as scope:
            ended = jobs.get(scope, job.id)
            published = [model.id for model in models.page(scope).data if model.job_id == job.id]
            assert ended.status in ("succeeded", "cancelled")
            assert published == ([ended.fine_tuned_model] if ended.status == "succeeded" else [])
            assert len(events.page(scope, job.id).data) == 1


def race(database: Database, project: str, job_id: str, fence: int) -> None:
    name = ids.tuned_model_name("afina-tiny", "personal", None)
    start = threading.Barrier(2)
    lost: list[Exception] = []

    def publish(scope: Scope) -> None:
        model = Model(
            id=name, created=1, owned_by="personal", kind="tuned", key=ids.random_text(8), job_id=job_id
        )
        models.insert(scope, model)
        changes: JobChanges = {"fine_tuned_model": name}
        moves.move(scope, job_id, "succeeded", fence=fence, event="succeeded", changes=changes)

    def cancel(scope: Scope) -> None:
        moves.move(scope, job_id, "cancelled", fence=None, event="cancelled")

    def attempt(act) -> None:
        start.wait()
        try:
            with database.scope(project) as scope:
                act(scope)
        except (FenceLost, IllegalMove) as error:
            lost.append(error)

    threads = [threading.Thread(target=attempt, args=(act,)) for act in (publish, cancel)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(lost) == 1
