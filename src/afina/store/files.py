"""Files: their rows; the bytes are blobs."""

from sqlalchemy import delete as delete_from
from sqlalchemy import insert as insert_into
from sqlalchemy import or_, select

from afina.errors import InvalidRequest, NotFound, clipped
from afina.schemas.batches import FINAL as BATCH_ENDED
from afina.schemas.files import FileObject
from afina.schemas.fine_tuning import FINAL
from afina.schemas.record import Page
from afina.store import audit, clock, jobs
from afina.store.pages import page as page_of
from afina.store.rows import from_row, to_row
from afina.store.scope import Scope, System
from afina.store.tables import files, models
from afina.store.tables import jobs as jobs_table
from afina.store.upload_tables import batches

EXPIRED_AT_ONCE = 1_000  # files; the others go the next time


def insert(scope: Scope, file: FileObject, *, actor: str = "api") -> FileObject:
    """Add a file whose blob is already durable; it becomes this project's."""
    mine = file.model_copy(update={"project_id": scope.project_id})
    scope.connection.execute(insert_into(files).values(to_row(files, mine)))
    audit.record(scope, "file.created", file.id, actor=actor)
    return mine


def get(scope: Scope, file_id: str) -> FileObject:
    """One file of this project."""
    file = find(scope, file_id)
    if file is None:
        raise NotFound(f"No such File object: {clipped(file_id)}", param="id")
    return file


def find(scope: Scope, file_id: str, *, share: bool = False) -> FileObject | None:
    """One file of this project, or None; `share` keeps others from deleting it until the transaction ends."""
    query = select(files).where(files.c.project_id == scope.project_id, files.c.id == file_id)
    row = scope.connection.execute(query.with_for_update(read=True) if share else query).one_or_none()
    return None if row is None else from_row(FileObject, row)


def page(
    scope: Scope,
    *,
    after: str | None = None,
    limit: int = 10_000,
    purpose: str | None = None,
    ascending: bool = False,
) -> Page[FileObject]:
    """The project's files, newest first."""
    mine = files.c.project_id == scope.project_id
    where = None if purpose is None else files.c.purpose == purpose
    return page_of(
        scope, files, FileObject, mine=mine, where=where, after=after, limit=limit, ascending=ascending
    )


def expire(system: System) -> list[FileObject]:
    """Remove the rows of files whose time is over, but for those that work still needs; returns them."""
    needed = select(jobs_table.c.id).where(
        jobs_table.c.status.not_in(sorted(FINAL)),
        or_(jobs_table.c.training_file == files.c.id, jobs_table.c.validation_file == files.c.id),
    )
    asked = select(batches.c.id).where(
        batches.c.status.not_in(sorted(BATCH_ENDED)), batches.c.input_file_id == files.c.id
    )
    over = (files.c.expires_at <= clock.seconds(system)) & ~needed.exists() & ~asked.exists()
    # Held first, then asked again: who has just asked for work on a file held it, and is seen now.
    some = select(files.c.id).where(over).limit(EXPIRED_AT_ONCE).with_for_update(skip_locked=True)
    held = system.connection.execute(some).scalars().all()
    gone = delete_from(files).where(files.c.id.in_(held), over).returning(files)
    removed = system.connection.execute(gone).all()
    return [from_row(FileObject, row) for row in removed]


def delete(scope: Scope, file_id: str, *, actor: str = "api") -> FileObject:
    """Remove the row, then the caller deletes the blob; refused while a job or a batch goes on with it."""
    mine = (files.c.project_id == scope.project_id) & (files.c.id == file_id)
    # A job that is being created with this file holds the row: who comes second sees what the first one did.
    scope.connection.execute(select(files.c.id).where(mine).with_for_update())
    file = get(scope, file_id)
    using = jobs.using_file(scope, file_id)
    if using:
        names = ", ".join(using[:5])
        raise InvalidRequest(
            f"The file is in use by {len(using)} fine-tuning job(s): {names}. Cancel them first, or wait.",
            param="id",
            code="file_in_use",
        )
    if waiting := batches_with(scope, file_id):
        raise InvalidRequest(
            f"The file is in use by the batch {waiting[0]}. Cancel it first, or wait.",
            param="id",
            code="file_in_use",
        )
    scope.connection.execute(delete_from(files).where(mine))
    audit.record(scope, "file.deleted", file_id, actor=actor)
    return file


def batches_with(scope: Scope, file_id: str) -> list[str]:
    """The ids of the project's batches that still read a file, oldest first."""
    query = select(batches.c.id).where(
        batches.c.project_id == scope.project_id,
        batches.c.status.not_in(sorted(BATCH_ENDED)),
        batches.c.input_file_id == file_id,
    )
    return list(scope.connection.execute(query.order_by(batches.c.seq)).scalars())


def models_from(scope: Scope, file_id: str) -> list[str]:
    """The models that are there and came of a job with this file, oldest first."""
    query = select(models.c.id).join(jobs_table, jobs_table.c.id == models.c.job_id)
    query = query.where(
        models.c.project_id == scope.project_id,
        models.c.status != "deleted",
        or_(jobs_table.c.training_file == file_id, jobs_table.c.validation_file == file_id),
    )
    return list(scope.connection.execute(query.order_by(models.c.seq)).scalars())
