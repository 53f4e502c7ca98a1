"""`/v1/files`: upload, list, retrieve, content, delete."""

import base64
import hashlib
import unicodedata
from collections.abc import Iterator
from typing import Annotated
from urllib.parse import quote

from fastapi import APIRouter, Depends, Request, Response
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import StreamingResponse

from afina import ids
from afina.api import attempts
from afina.api.attempts import Again
from afina.api.auth import Member, Viewer
from afina.api.body import check_encoding, receive
from afina.api.multipart import Form
from afina.api.queries import After, Order, limited
from afina.api.rooms import InRooms, Rooms
from afina.api.upload_form import Upload, read_upload
from afina.blobs import Blobs, Written
from afina.schemas.files import FileObject
from afina.schemas.record import Deleted, Page
from afina.store import clock, files
from afina.store.idempotency import Attempt
from afina.store.scope import Scope

router = APIRouter(prefix="/files")


@router.post("")
async def create(
    *, request: Request, response: Response, caller: Member, rooms: InRooms, again: Again
) -> FileObject:
    """Store a file: its bytes go to their blob as they arrive, then the row makes them visible."""
    identifier = ids.file_id()
    check_encoding(request, "multipart/form-data")
    with rooms.blobs.writer(f"files/{identifier}") as writer:
        form = Form(
            request.headers.get("content-type", ""),
            writer.write,
            max_file_bytes=rooms.settings.max_file_bytes,
        )

        async def take(chunk: bytes) -> None:
            await run_in_threadpool(form.feed, chunk)

        await receive(request, take)
        upload = read_upload(form)
        written = await run_in_threadpool(writer.commit)
    attempt = again.attempt("files", fingerprint(upload, written))
    file = await run_in_threadpool(
        keep, rooms, caller.project_id, upload.file(identifier, written), attempt=attempt, response=response
    )
    if file.id != identifier:  # a client that sent it again gets the first one's row
        await run_in_threadpool(rooms.blobs.delete, f"files/{identifier}")
    return file


def keep(
    rooms: Rooms, project_id: str, file: FileObject, *, attempt: Attempt, response: Response
) -> FileObject:
    """The file's row, unless an equal attempt has made one."""

    def make(scope: Scope) -> tuple[str, FileObject]:
        now = clock.seconds(scope)
        expires_at = None if file.expires_at is None else now + file.expires_at
        made = files.insert(scope, file.model_copy(update={"created_at": now, "expires_at": expires_at}))
        return made.id, made

    with rooms.database.scope(project_id) as scope:
        return attempts.once(scope, attempt, response, find=files.get, make=make)


def fingerprint(upload: Upload, written: Written) -> str:
    """Two uploads are equal when all that was sent is."""
    parts = (upload.filename, upload.purpose, str(upload.expires_after), written.sha256)
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()


@router.get("")
def page(
    *,
    caller: Viewer,
    rooms: InRooms,
    limit: Annotated[int, Depends(limited(10_000, 10_000))],
    after: After = None,
    order: Order = "desc",
    purpose: str | None = None,
) -> Page[FileObject]:
    """The project's files, newest first."""
    with rooms.database.read(caller.project_id) as scope:
        return files.page(scope, after=after, limit=limit, purpose=purpose, ascending=order == "asc")


@router.get("/{file_id}")
def retrieve(file_id: str, caller: Viewer, rooms: InRooms) -> FileObject:
    """One file."""
    with rooms.database.read(caller.project_id) as scope:
        return files.get(scope, file_id)


@router.get("/{file_id}/content", response_class=StreamingResponse)
def content(file_id: str, request: Request, caller: Viewer, rooms: InRooms) -> StreamingResponse:
    """The file's bytes. A result file is base64 text, as OpenAI's are; `Accept: text/csv` gives the plain table."""
    with rooms.database.read(caller.project_id) as scope:
        file = files.get(scope, file_id)
    plain = file.purpose == "fine-tune-results" and "text/csv" in request.headers.get("accept", "")
    body = decoded(rooms.blobs, file) if plain else rooms.blobs.read(file.blob)
    headers = {
        "content-disposition": disposition(file.filename),
        "x-content-type-options": "nosniff",
        "cache-control": "no-store",
    }
    if not plain:
        headers["content-length"] = str(file.bytes)
    return StreamingResponse(
        body, media_type="text/csv" if plain else "application/octet-stream", headers=headers
    )


def decoded(blobs: Blobs, file: FileObject) -> Iterator[bytes]:
    """The table in a result file."""
    yield base64.b64decode(b"".join(blobs.read(file.blob)))


def disposition(filename: str) -> str:
    """`Content-Disposition` after RFC 6266: an ASCII name for old clients, the true one for all others."""
    plain = unicodedata.normalize("NFKD", filename).encode("ascii", "ignore").decode()
    plain = "".join(letter for letter in plain if letter.isprintable() and letter not in '"\\%')
    return f"attachment; filename=\"{plain}\"; filename*=UTF-8''{quote(filename, safe='')}"


@router.delete("/{file_id}")
def delete(file_id: str, caller: Member, rooms: InRooms) -> Deleted:
    """Remove a file that no unfinished job uses: its row first, then its bytes."""
    with rooms.database.scope(caller.project_id) as scope:
        file = files.delete(scope, file_id, actor=caller.key_id)
    rooms.blobs.delete(file.blob)
    return Deleted(id=file.id, object="file")
