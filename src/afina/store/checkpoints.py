"""Checkpoints of jobs: one for a step, however often a resumed run comes by."""

from sqlalchemy import delete as delete_from
from sqlalchemy import insert as insert_into
from sqlalchemy import select

from afina.schemas.fine_tuning import JobCheckpoint
from afina.schemas.record import Page
from afina.store import jobs, work
from afina.store.pages import page as page_of
from afina.store.rows import to_row
from afina.store.scope import Scope
from afina.store.tables import job_checkpoints


def insert(scope: Scope, checkpoint: JobCheckpoint, *, fence: int) -> bool:
    """Add a checkpoint; False where this step of the job has one already, which then stays."""
    job_id = checkpoint.fine_tuning_job_id
    jobs.get(scope, job_id, hold=True)
    work.require(scope, job_id, fence)
    if exists(scope, job_id, checkpoint.step_number):
        return False
    row = to_row(job_checkpoints, checkpoint) | {"project_id": scope.project_id}
    scope.connection.execute(insert_into(job_checkpoints).values(row))
    return True


def exists(scope: Scope, job_id: str, step: int) -> bool:
    """Whether a step of a job has its checkpoint."""
    query = select(job_checkpoints.c.id).where(
        job_checkpoints.c.project_id == scope.project_id,
        job_checkpoints.c.fine_tuning_job_id == job_id,
        job_checkpoints.c.step_number == step,
    )
    return scope.connection.execute(query).first() is not None


def delete(scope: Scope, checkpoint_id: str) -> None:
    """Take a checkpoint off its job's list; its model is another row."""
    table = job_checkpoints
    mine = (table.c.project_id == scope.project_id) & (table.c.id == checkpoint_id)
    scope.connection.execute(delete_from(table).where(mine))


def page(
    scope: Scope, job_id: str, *, after: str | None = None, limit: int = 10, ascending: bool = False
) -> Page[JobCheckpoint]:
    """A job's checkpoints, newest first."""
    jobs.require(scope, job_id)
    table = job_checkpoints
    mine = (table.c.project_id == scope.project_id) & (table.c.fine_tuning_job_id == job_id)
    return page_of(scope, table, JobCheckpoint, mine=mine, after=after, limit=limit, ascending=ascending)
