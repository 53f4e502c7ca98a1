"""Uploads and their parts: their rows; the bytes of a part are a blob until the upload has become a file."""

from collections.abc import Sequence

from sqlalchemy import delete as delete_from
from sqlalchemy import func, select, update
from sqlalchemy import insert as insert_into

from afina.errors import InvalidRequest, NotFound, TooManyRequests, clipped
from afina.schemas.files import FileObject
from afina.schemas.uploads import Upload, UploadPart, UploadStatus
from afina.store import audit, clock, files
from afina.store.rows import from_row, to_row
from afina.store.scope import Scope, System
from afina.store.upload_tables import upload_parts, uploads

MAX_OPEN = 1_000


def insert(scope: Scope, upload: Upload, *, actor: str = "api") -> Upload:
    """Begin an upload; a project has a bounded number of them at a time."""
    mine = (uploads.c.project_id == scope.project_id) & (uploads.c.status == "pending")
    pending = scope.connection.execute(select(func.count()).select_from(uploads).where(mine)).scalar_one()
    if pending >= MAX_OPEN:
        raise TooManyRequests(
            f"This project has {MAX_OPEN} open uploads. Complete or cancel some of them first.",
            code="too_many_uploads",
        )
    created = upload.model_copy(update={"project_id": scope.project_id})
    scope.connection.execute(insert_into(uploads).values(to_row(uploads, created)))
    audit.record(scope, "upload.created", upload.id, actor=actor)
    return created


def get(scope: Scope, upload_id: str, *, hold: bool = False) -> Upload:
    """One upload of this project with the file it has become, if that is there; `hold` keeps others out."""
    query = select(uploads).where(uploads.c.project_id == scope.project_id, uploads.c.id == upload_id)
    row = scope.connection.execute(query.with_for_update() if hold else query).one_or_none()
    if row is None:
        raise NotFound(f"No such Upload object: {clipped(upload_id)}", param="upload_id")
    upload = from_row(Upload, row)
    file = files.find(scope, upload.file_id) if upload.file_id else None
    return upload.model_copy(update={"file": file})


def pending(scope: Scope, upload_id: str, *, hold: bool = False) -> Upload:
    """An upload that can still take parts, or end."""
    upload = get(scope, upload_id, hold=hold)
    over = upload.status == "pending" and upload.expires_at <= clock.seconds(scope)
    status = "expired" if over else upload.status
    if status != "pending":
        raise InvalidRequest(f"Upload is {status}.", code="upload_not_pending")
    return upload


def insert_part(scope: Scope, part: UploadPart) -> UploadPart:
    """Add a part whose blob is already durable; more bytes than were announced are refused."""
    upload = pending(scope, part.upload_id, hold=True)
    there = of_upload(scope, upload.id)
    if sum(other.bytes for other in there) + part.bytes > upload.bytes:
        raise InvalidRequest(
            f"The parts of this upload would have more than the {upload.bytes} bytes that it was created for.",
            param="data",
            code="upload_too_large",
        )
    mine = part.model_copy(update={"project_id": scope.project_id})
    scope.connection.execute(insert_into(upload_parts).values(to_row(upload_parts, mine)))
    return mine


def get_part(scope: Scope, part_id: str) -> UploadPart:
    """One part."""
    query = select(upload_parts).where(
        upload_parts.c.project_id == scope.project_id, upload_parts.c.id == part_id
    )
    row = scope.connection.execute(query).one_or_none()
    if row is None:
        raise NotFound(f"No such UploadPart object: {clipped(part_id)}", param="part_id")
    return from_row(UploadPart, row)


def of_upload(scope: Scope, upload_id: str) -> list[UploadPart]:
    """All parts that have arrived, in the order of their arrival."""
    query = select(upload_parts).where(
        upload_parts.c.project_id == scope.project_id, upload_parts.c.upload_id == upload_id
    )
    return [from_row(UploadPart, row) for row in scope.connection.execute(query.order_by(upload_parts.c.seq))]


def ordered(scope: Scope, upload_id: str, part_ids: Sequence[str]) -> list[UploadPart]:
    """The parts that were named, as they were named; each of them once."""
    there = {part.id: part for part in of_upload(scope, upload_id)}
    strange = next((name for name in part_ids if name not in there), None)
    if strange is not None:
        raise InvalidRequest(
            f"No such part of this upload: {clipped(strange)}", param="part_ids", code="invalid_part_id"
        )
    if len(set(part_ids)) < len(part_ids):
        raise InvalidRequest(
            "Each part can be named only once in 'part_ids'.", param="part_ids", code="invalid_part_id"
        )
    return [there[name] for name in part_ids]


def complete(scope: Scope, upload_id: str, file: FileObject, *, actor: str = "api") -> Upload:
    """The upload becomes a file, whose blob is already durable; one that became another before stays that."""
    upload = get(scope, upload_id, hold=True)
    if upload.status == "completed":
        return upload
    pending(scope, upload_id)
    made = files.insert(scope, file, actor=actor)
    end(scope, upload_id, "completed", actor=actor)
    scope.connection.execute(update(uploads).where(uploads.c.id == upload_id).values(file_id=made.id))
    return get(scope, upload_id)


def cancel(scope: Scope, upload_id: str, *, actor: str = "api") -> Upload:
    """Give an upload up; the caller deletes its blobs then. To cancel it again changes nothing."""
    upload = get(scope, upload_id, hold=True)
    if upload.status == "cancelled":
        return upload
    pending(scope, upload_id)
    end(scope, upload_id, "cancelled", actor=actor)
    return get(scope, upload_id)


def end(scope: Scope, upload_id: str, status: UploadStatus, *, actor: str) -> None:
    """No part is added any more, and those that came are not needed."""
    mine = (uploads.c.project_id == scope.project_id) & (uploads.c.id == upload_id)
    scope.connection.execute(update(uploads).where(mine).values(status=status))
    parts = (upload_parts.c.project_id == scope.project_id) & (upload_parts.c.upload_id == upload_id)
    scope.connection.execute(delete_from(upload_parts).where(parts))
    audit.record(scope, f"upload.{status}", upload_id, actor=actor)


def expire(system: System) -> list[Upload]:
    """End all uploads whose hour is over; returns them."""
    over = (uploads.c.status == "pending") & (uploads.c.expires_at <= clock.seconds(system))
    ended = update(uploads).where(over).values(status="expired").returning(uploads)
    expired = [from_row(Upload, row) for row in system.connection.execute(ended).all()]
    names = [upload.id for upload in expired]
    system.connection.execute(delete_from(upload_parts).where(upload_parts.c.upload_id.in_(names)))
    return expired


def open_folders(system: System) -> set[str]:
    """The blob folders of all uploads that are under way."""
    rows = system.connection.execute(select(uploads).where(uploads.c.status == "pending"))
    return {from_row(Upload, row).folder for row in rows}
