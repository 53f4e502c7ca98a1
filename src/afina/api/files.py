"""`/v1/files`: upload, list, retrieve, content, delete."""

import base64
import unicodedata
from typing import Annotated
from urllib.parse import quote

from fastapi import APIRouter, Depends, Request, Response
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import StreamingResponse

from afina import ids
from afina.api import attempts
from afina.api.attempts import Again
from afina.api.auth import Member, Viewer
from afina.api.form_body import received
from afina.api.multipart import Expected
from afina.api.queries import After, Order, limited
from afina.api.rooms import InRooms, Rooms
from afina.api.routes import ThreadedRoute
from afina.api.upload_form import NewFile, read_upload
from afina.blobs import Written
from afina.errors import InvalidRequest
from afina.schemas.files import FileDeleted, FileObject, Traces
from afina.schemas.record import Page
from afina.store import clock, files
from afina.store.scope import Scope

router = APIRouter(prefix="/files", route_class=ThreadedRoute)


@router.post("")
async def create(
    *, request: Request, response: Response, caller: Member, rooms: InRooms, again: Again
) -> FileObject:
    """Store a file: its bytes go to their blob as they arrive, then the row makes them visible."""
    identifier = ids.file_id()
    blob = f"files/{identifier}"
    upload, written = await store(request, rooms, blob)

    def make(scope: Scope) -> tuple[str, FileObject]:
        file = upload.file(identifier, written, now=clock.seconds(scope))
        return identifier, files.insert(scope, file, actor=caller.key_id)

    def keep() -> FileObject:
        attempt = again.attempt("files", upload.fingerprint(written))
        with rooms.database.scope(caller.project_id) as scope:
            return attempts.once(scope, attempt, response, find=files.get, make=make)

    try:
        file = await run_in_threadpool(keep)
    except InvalidRequest:  # there is no row; after any other error nobody knows: the sweep decides
        await run_in_threadpool(rooms.blobs.delete, blob)
        raise
    if file.id != identifier:  # an equal attempt has stored the same before
        await run_in_threadpool(rooms.blobs.delete, blob)
    return file


async def store(request: Request, rooms: Rooms, blob: str) -> tuple[NewFile, Written]:
    """Write the file of a form to its blob while the form arrives; a form that is refused leaves nothing."""
    expected = Expected("file", rooms.settings.max_file_bytes, cure="; use /v1/uploads")
    async with received(request, rooms.blobs, blob, expected=expected) as found:
        return read_upload(found.form), await found.keep()


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


@router.get("/{file_id}/content", response_class=Response)
def content(file_id: str, request: Request, caller: Viewer, rooms: InRooms) -> Response:
    """The file's bytes. A result file is base64 text, as OpenAI's are; `Accept: text/csv` gives the plain table."""
    with rooms.database.read(caller.project_id) as scope:
        file = files.get(scope, file_id)
    body = rooms.blobs.read(file.blob)
    headers = {
        "content-disposition": disposition(file.filename),
        "x-content-type-options": "nosniff",
        "cache-control": "no-store",
    }
    if file.purpose == "fine-tune-results" and "text/csv" in request.headers.get("accept", ""):
        return Response(base64.b64decode(b"".join(body)), media_type="text/csv", headers=headers)
    headers["content-length"] = str(file.bytes)
    return StreamingResponse(body, media_type="application/octet-stream", headers=headers)


def disposition(filename: str) -> str:
    """`Content-Disposition` after RFC 6266: an ASCII name for old clients, the true one for all others."""
    plain = unicodedata.normalize("NFKD", filename).encode("ascii", "ignore").decode()
    plain = "".join(letter for letter in plain if letter.isprintable() and letter not in '"\\%')
    return f"attachment; filename=\"{plain}\"; filename*=UTF-8''{quote(filename, safe='')}"


@router.delete("/{file_id}")
def delete(file_id: str, caller: Member, rooms: InRooms) -> FileDeleted:
    """Remove a file that no unfinished work uses: its row first, then its bytes; tells what was trained on it."""
    with rooms.database.scope(caller.project_id) as scope:
        file = files.delete(scope, file_id, actor=caller.key_id)
        traces = Traces(models=files.models_from(scope, file_id))
    rooms.blobs.delete(file.blob)
    return FileDeleted(id=file.id, afina=traces)
