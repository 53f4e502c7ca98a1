"""What finished jobs tell about time, on every database."""

from collections.abc import Callable

import pytest
from sqlalchemy import text

from afina.schemas.adapters import Full, LowRank
from afina.schemas.fine_tuning import FineTuningJob, JobDetails
from afina.store import events, speeds
from afina.store.database import Database
from afina.store.events import NewEvent
from afina.store.speeds import Timed

NewFinished = Callable[..., FineTuningJob]


@pytest.fixture
def finished(database: Database, new_job) -> NewFinished:
    """A job that ended some seconds after it had started, as its rows would say it."""

    def make(
        project: str,
        tokens: int,
        seconds: int,
        *,
        status: str = "succeeded",
        model: str = "b",
        said: str = "",
        full: bool = False,
    ) -> FineTuningJob:
        with database.scope(project) as scope:
            job = new_job(scope, afina=JobDetails(adapter=Full(type="full") if full else LowRank()))
            heard = [NewEvent(f"Created fine-tuning job: {job.id}"), NewEvent(speeds.STARTED)]
            written = events.append(scope, job.id, heard + [NewEvent(said)] * bool(said), fence=None)
            ended = {
                "status": status,
                "tokens": tokens,
                "at": written[1].created_at + seconds,
                "model": model,
                "id": job.id,
            }
            scope.connection.execute(
                text(
                    "UPDATE jobs SET status = :status, trained_tokens = :tokens, finished_at = :at, model = :model "
                    "WHERE id = :id"
                ),
                ended,
            )
            return job

    return make


def of_base(database: Database, base: str = "b", *, full: bool = False) -> list[Timed]:
    with database.system(read=True) as system:
        return speeds.of_base(system, base, full=full)


def test_without_a_finished_job_nothing_is_known(database: Database, finished: NewFinished, project: str):
    finished(project, 10, 1, status="running")
    finished(project, 10, 1, status="failed")
    finished(project, 10, 1, status="cancelled")
    finished(project, 10, 1, model="c")
    assert of_base(database) == []


def test_the_jobs_of_all_projects_count_newest_first(
    database: Database, finished: NewFinished, project: str, other: str
):
    finished(project, 100, 7)
    finished(other, 200, 9)
    assert of_base(database) == [Timed(200, 9), Timed(100, 7)]
    assert of_base(database, "c") == []


def test_a_job_that_was_interrupted_tells_nothing(database: Database, finished: NewFinished, project: str):
    finished(project, 100, 9000, said=f"{speeds.INTERRUPTED}; resuming from step 3")
    finished(project, 100, 5, said="Step 1/2: training loss=1.00")
    assert of_base(database) == [Timed(100, 5)]


def test_jobs_that_train_all_weights_tell_of_each_other_alone(
    database: Database, finished: NewFinished, project: str
):
    finished(project, 100, 5)
    finished(project, 200, 50, full=True)
    assert of_base(database) == [Timed(100, 5)]
    assert of_base(database, full=True) == [Timed(200, 50)]


def test_old_jobs_are_forgotten(database: Database, finished: NewFinished, project: str):
    for number in range(speeds.NEWEST + 1):
        finished(project, number + 1, 5)
    assert [job.tokens for job in of_base(database)] == list(range(speeds.NEWEST + 1, 1, -1))
