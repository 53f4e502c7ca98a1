"""Everything at once, across projects: what the consistency check compares with the blobs and with the rules."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from sqlalchemy import Table, case, distinct, func, or_, select

from afina.schemas.batches import FINAL as BATCH_ENDED
from afina.schemas.files import FileObject
from afina.schemas.fine_tuning import FineTuningJob
from afina.schemas.models import Model
from afina.schemas.response_replies import FINAL as RESPONSE_ENDED
from afina.schemas.uploads import Upload, UploadPart
from afina.store.audit import JOB_CREATED, JOB_MOVED
from afina.store.response_tables import responses
from afina.store.rows import Kind, from_row
from afina.store.scope import System
from afina.store.tables import audit, files, job_events, jobs, models, work
from afina.store.upload_tables import batches, upload_parts, uploads
from afina.store.uploads import open_folders


@dataclass(frozen=True)
class Queued:
    """A row of the queue, without its rights."""

    subject: str
    lease_owner: str | None
    lease_until: float | None


@dataclass(frozen=True)
class Asked:
    """A batch or a response, and whether somebody still has to work on it."""

    id: str
    status: str
    open: bool


@dataclass(frozen=True)
class Survey:
    """All rows that invariants speak of; `histories` holds the statuses of each job by its audit entries.

    `open_uploads` are blob folders; `parts` are those of uploads that are under way, by the upload's status.
    """

    files: list[FileObject]
    jobs: list[FineTuningJob]
    models: list[Model]
    open_uploads: set[str]
    uploads: list[Upload]
    parts: list[UploadPart]
    asked: list[Asked]
    work: list[Queued]
    histories: Mapping[str, list[str]]
    jobs_with_gaps: list[str]
    jobs_going_back: list[str]


def survey(system: System) -> Survey:
    """One consistent look at the whole database."""
    return Survey(
        files=every(system, files, FileObject),
        jobs=every(system, jobs, FineTuningJob),
        models=every(system, models, Model),
        open_uploads=open_folders(system),
        uploads=every(system, uploads, Upload),
        parts=every(system, upload_parts, UploadPart),
        asked=[*asked(system, batches, BATCH_ENDED), *asked(system, responses, RESPONSE_ENDED)],
        work=queue(system),
        histories=histories(system),
        jobs_with_gaps=jobs_with_gaps(system),
        jobs_going_back=jobs_going_back(system),
    )


def every(system: System, table: Table, kind: type[Kind]) -> list[Kind]:
    """All rows of a table, oldest first."""
    return [from_row(kind, row) for row in system.connection.execute(select(table).order_by(table.c.seq))]


def asked(system: System, table: Table, final: Collection[str]) -> list[Asked]:
    """The ids and statuses of batches, or of responses."""
    rows = system.connection.execute(select(table.c.id, table.c.status).order_by(table.c.seq))
    return [Asked(row.id, row.status, open=row.status not in final) for row in rows]


def in_use(system: System) -> set[str]:
    """The blobs of files and the blob folders of models and open uploads; those of a deleted model can go."""
    found = {model.folder for model in every(system, models, Model) if model.status != "deleted"}
    return found | {file.blob for file in every(system, files, FileObject)} | open_folders(system)


def queue(system: System) -> list[Queued]:
    """All work that is waiting or held."""
    rows = system.connection.execute(select(work.c.subject, work.c.lease_owner, work.c.lease_until))
    return [Queued(row.subject, row.lease_owner, row.lease_until) for row in rows]


def histories(system: System) -> dict[str, list[str]]:
    """The statuses that each job has had, oldest first, as the audit entries tell."""
    query = select(audit.c.subject, audit.c.detail).where(audit.c.action.in_([JOB_CREATED, JOB_MOVED]))
    found: dict[str, list[str]] = {}
    for subject, detail in system.connection.execute(query.order_by(audit.c.seq)):
        found.setdefault(subject, []).append(detail["to"])
    return found


def jobs_with_gaps(system: System) -> list[str]:
    """Jobs whose events are not numbered 1, 2, 3 and so on."""
    number = job_events.c.number
    whole = case((func.count(distinct(number)) == func.count(), func.max(number)), else_=-1)
    query = select(job_events.c.job_id).group_by(job_events.c.job_id)
    query = query.having(or_(func.min(number) != 1, whole != func.count()))
    return list(system.connection.execute(query.order_by(job_events.c.job_id)).scalars())


def jobs_going_back(system: System) -> list[str]:
    """Jobs with an event that is older than the one before it."""
    before = func.lag(job_events.c.created_at).over(
        partition_by=job_events.c.job_id, order_by=job_events.c.number
    )
    pairs = select(job_events.c.job_id, job_events.c.created_at, before.label("before")).subquery()
    query = select(pairs.c.job_id).where(pairs.c.created_at < pairs.c.before).distinct()
    return list(system.connection.execute(query.order_by(pairs.c.job_id)).scalars())
