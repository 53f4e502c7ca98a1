"""A job's history: numbers without gaps, figures once, time that never goes back."""

import threading

import pytest
from sqlalchemy import text

from afina.errors import FenceLost, NotFound
from afina.schemas.fine_tuning import FineTuningJob, JobCheckpoint
from afina.store import checkpoints, events, work
from afina.store.database import Database
from afina.store.events import NewEvent


@pytest.fixture
def job(database: Database, project: str, new_job) -> FineTuningJob:
    with database.scope(project) as scope:
        return new_job(scope)


def figures(step: int, loss: float = 1.0) -> NewEvent:
    return NewEvent(f"Step {step}", data={"step": step, "train_loss": loss}, step=step)


def test_events_are_numbered_from_one_and_listed_newest_first(
    database: Database, project: str, job: FineTuningJob
):
    with database.scope(project) as scope:
        events.append(scope, job.id, [NewEvent("created")], fence=None)
        written = events.append(scope, job.id, [NewEvent("careful", "warn"), figures(1, 0.5)], fence=None)
        assert [(event.number, event.type) for event in written] == [(2, "message"), (3, "metrics")]
        listed = events.page(scope, job.id).data
    assert [event.number for event in listed] == [3, 2, 1]
    assert listed[:2] == written[::-1]
    assert listed[0].data == {"step": 1, "train_loss": 0.5}
    assert "number" not in listed[0].wire()


def test_a_resumed_run_repeats_no_figures(database: Database, project: str, job: FineTuningJob):
    with database.scope(project) as scope:
        events.append(scope, job.id, [figures(1), figures(2), figures(2, 9.0)], fence=None)
        again = events.append(scope, job.id, [figures(2, 7.0), NewEvent("resumed"), figures(3)], fence=None)
        assert [(event.number, event.message) for event in again] == [(3, "resumed"), (4, "Step 3")]
        assert events.metrics(scope, job.id) == [{"step": step, "train_loss": 1.0} for step in (1, 2, 3)]
        assert events.append(scope, job.id, [figures(1)], fence=None) == []
        assert events.append(scope, job.id, [], fence=None) == []


def test_figures_come_by_step_not_by_arrival(database: Database, project: str, job: FineTuningJob):
    with database.scope(project) as scope:
        events.append(scope, job.id, [figures(10), figures(9)], fence=None)
        assert [data["step"] for data in events.metrics(scope, job.id)] == [9, 10]


def test_time_never_goes_back(database: Database, project: str, job: FineTuningJob):
    with database.scope(project) as scope:
        events.append(scope, job.id, [NewEvent("from a clock that ran ahead")], fence=None)
        scope.connection.execute(text("UPDATE job_events SET created_at = 99999999999"))
        late = events.append(scope, job.id, [NewEvent("after the clock was set back")], fence=None)
    assert late[0].created_at == 99_999_999_999


def test_writers_at_once_leave_no_gaps(database: Database, project: str, job: FineTuningJob):
    def write(name: int) -> None:
        for number in range(5):
            with database.scope(project) as scope:
                events.append(scope, job.id, [NewEvent(f"{name}-{number}"), NewEvent("and")], fence=None)

    threads = [threading.Thread(target=write, args=(name,)) for name in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with database.read(project) as scope:
        listed = events.page(scope, job.id, limit=100, ascending=True).data
    assert [event.number for event in listed] == list(range(1, 61))


def test_only_the_holder_writes(database: Database, project: str, job: FineTuningJob):
    with database.system() as system:
        claim = work.claim(system, "w", ["validate"], lease_seconds=60.0)
    assert claim
    with database.scope(project) as scope:
        events.append(scope, job.id, [NewEvent("mine")], fence=claim.fence)
    for fence in (claim.fence - 1, claim.fence + 1):
        with pytest.raises(FenceLost), database.scope(project) as scope:
            events.append(scope, job.id, [NewEvent("not mine")], fence=fence)
    with database.scope(project) as scope:
        assert [event.message for event in events.page(scope, job.id).data] == ["mine"]
        assert checkpoints.insert(scope, checkpoint(job, 4), fence=claim.fence)
    with pytest.raises(FenceLost), database.scope(project) as scope:
        checkpoints.insert(scope, checkpoint(job, 8), fence=claim.fence - 1)


def test_an_unknown_job_has_no_events(database: Database, project: str):
    with database.scope(project) as scope:
        with pytest.raises(NotFound, match="Could not find fine tune: ftjob-x"):
            events.page(scope, "ftjob-x")
        with pytest.raises(NotFound):
            events.append(scope, "ftjob-x", [NewEvent("?")], fence=None)


def checkpoint(job: FineTuningJob, step: int) -> JobCheckpoint:
    return JobCheckpoint(
        id=f"ftckpt_{step}",
        created_at=step,
        fine_tuned_model_checkpoint=f"ft:afina-tiny:personal::abcdefgh:ckpt-step-{step}",
        fine_tuning_job_id=job.id,
        step_number=step,
        metrics={"step": step, "train_loss": 0.25},
    )


def test_a_step_has_one_checkpoint(database: Database, project: str, job: FineTuningJob):
    with database.system() as system:
        claim = work.claim(system, "w", ["validate"], lease_seconds=60.0)
    assert claim
    with database.scope(project) as scope:
        assert checkpoints.insert(scope, checkpoint(job, 4), fence=claim.fence)
        repeated = checkpoint(job, 4).model_copy(update={"id": "ftckpt_again"})
        assert not checkpoints.insert(scope, repeated, fence=claim.fence)
        assert checkpoints.insert(scope, checkpoint(job, 8), fence=claim.fence)
        assert checkpoints.exists(scope, job.id, 4)
        assert not checkpoints.exists(scope, job.id, 5)
        assert checkpoints.page(scope, job.id).data == [checkpoint(job, 8), checkpoint(job, 4)]
        checkpoints.delete(scope, "ftckpt_4")
        assert checkpoints.page(scope, job.id).data == [checkpoint(job, 8)]
