"""Fine-tuning jobs: their rows. Only `moves` changes a status."""

from collections.abc import Mapping
from typing import Literal, TypedDict, get_args

from sqlalchemy import and_, bindparam, or_, select, true, update
from sqlalchemy import insert as insert_into

from afina.errors import InvalidRequest, NotFound, clipped
from afina.schemas.fine_tuning import (
    FINAL,
    FineTuningJob,
    JobDetails,
    JobError,
    JobStatus,
    Method,
    SupervisedHyperparameters,
)
from afina.schemas.record import Page
from afina.store import audit, work
from afina.store.pages import page as page_of
from afina.store.rows import carries, columns, from_row, to_row
from afina.store.scope import Scope, System
from afina.store.tables import files, jobs

UNFINISHED = sorted(set(get_args(JobStatus)) - FINAL)
ONE = select(jobs).where(jobs.c.project_id == bindparam("project"), jobs.c.id == bindparam("job"))
HELD = ONE.with_for_update()
IS_THERE = ONE.with_only_columns(jobs.c.id)
IS_HELD = IS_THERE.with_for_update()


class JobChanges(TypedDict, total=False):
    """What may change in a job beside its status."""

    model: str
    finished_at: int | None
    estimated_finish: int | None
    fine_tuned_model: str | None
    result_files: list[str]
    trained_tokens: int | None
    seed: int
    error: JobError | None
    hyperparameters: SupervisedHyperparameters
    method: Method
    afina: JobDetails


def insert(scope: Scope, job: FineTuningJob, *, actor: str = "api") -> FineTuningJob:
    """Add a job; its files are held until the transaction ends, so that they cannot be deleted meanwhile."""
    hold_files(scope, job)
    mine = job.model_copy(update={"project_id": scope.project_id})
    scope.connection.execute(insert_into(jobs).values(to_row(jobs, mine)))
    audit.record(scope, audit.JOB_CREATED, job.id, actor=actor, detail={"to": job.status})
    return mine


def hold_files(scope: Scope, job: FineTuningJob) -> None:
    """Refuse a job whose files are not this project's, or are gone."""
    for param, file_id in (("training_file", job.training_file), ("validation_file", job.validation_file)):
        query = select(files.c.id).where(files.c.project_id == scope.project_id, files.c.id == file_id)
        if file_id is not None and scope.connection.execute(query.with_for_update(read=True)).first() is None:
            raise InvalidRequest(f"No such File object: {clipped(file_id)}", param=param)


def get(scope: Scope, job_id: str, *, hold: bool = False) -> FineTuningJob:
    """One job of this project; `hold` keeps others from changing it until the transaction ends."""
    mine = {"project": scope.project_id, "job": job_id}
    row = scope.connection.execute(HELD if hold else ONE, mine).one_or_none()
    if row is None:
        raise unknown(job_id)
    return from_row(FineTuningJob, row)


def require(scope: Scope, job_id: str, *, hold: bool = False) -> None:
    """Refuse what is not a job of this project; `hold` as in `get`."""
    mine = {"project": scope.project_id, "job": job_id}
    if scope.connection.execute(IS_HELD if hold else IS_THERE, mine).first() is None:
        raise unknown(job_id)


def unknown(job_id: str) -> NotFound:
    """Not there, or another project's."""
    message = f"Could not find fine tune: {clipped(job_id)}"
    return NotFound(message, param="fine_tune_id", code="fine_tune_not_found")


def page(
    scope: Scope,
    *,
    after: str | None = None,
    limit: int = 20,
    metadata: Mapping[str, str] | None = None,
    without_metadata: bool = False,
    ascending: bool = False,
) -> Page[FineTuningJob]:
    """The project's jobs, newest first; `metadata` lists those that carry all of its pairs."""
    mine = jobs.c.project_id == scope.project_id
    pairs = [carries(scope, jobs.c.metadata, pair) for pair in (metadata or {}).items()]
    where = and_(jobs.c.metadata.is_(None) if without_metadata else true(), *pairs)
    return page_of(
        scope, jobs, FineTuningJob, mine=mine, where=where, after=after, limit=limit, ascending=ascending
    )


def change(scope: Scope, job_id: str, changes: JobChanges, *, fence: int) -> FineTuningJob:
    """Write what the holder of the work found out, such as the plan; the status is left to `moves`."""
    job = get(scope, job_id, hold=True)
    work.require(scope, job_id, fence)
    return write(scope, job, changes)


def want(scope: Scope, job: FineTuningJob, wanted: Literal["paused"] | None) -> FineTuningJob:
    """Write what a user wants of a running job, for whoever follows its run; `job` is held."""
    return write(scope, job, {"wanted": wanted})


def write(scope: Scope, job: FineTuningJob, changes: Mapping[str, object]) -> FineTuningJob:
    """The job with `changes`, in its row and as returned."""
    if changes:
        scope.connection.execute(update(jobs).where(jobs.c.id == job.id).values(columns(jobs, changes)))
    return job.model_copy(update=dict(changes))


def using_file(scope: Scope, file_id: str) -> list[str]:
    """The ids of the project's jobs that still need a file, oldest first."""
    query = select(jobs.c.id).where(
        jobs.c.project_id == scope.project_id,
        jobs.c.status.in_(UNFINISHED),
        or_(jobs.c.training_file == file_id, jobs.c.validation_file == file_id),
    )
    return list(scope.connection.execute(query.order_by(jobs.c.seq)).scalars())


def going_on(scope: Scope) -> list[str]:
    """The ids of the project's jobs that have not ended, oldest first."""
    mine = jobs.c.project_id == scope.project_id
    query = select(jobs.c.id).where(mine, jobs.c.status.in_(UNFINISHED)).order_by(jobs.c.seq)
    return list(scope.connection.execute(query).scalars())


def unfinished(system: System) -> set[str]:
    """The ids of all jobs that have not ended."""
    return set(system.connection.execute(select(jobs.c.id).where(jobs.c.status.in_(UNFINISHED))).scalars())
