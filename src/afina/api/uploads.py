"""`/v1/uploads`: a large file in parts, which become one file without being copied."""

import hashlib
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import chain
from typing import Annotated

from anyio import to_thread
from fastapi import APIRouter, Depends, Request, Response
from fastapi.concurrency import run_in_threadpool

from afina import ids
from afina.api import attempts
from afina.api.attempts import Again
from afina.api.auth import Member
from afina.api.body import Body, json_body
from afina.api.callers import Caller
from afina.api.form_body import received
from afina.api.multipart import HEAD, MEBIBYTE, Expected
from afina.api.rooms import InRooms, Rooms
from afina.api.routes import ThreadedRoute
from afina.api.upload_form import (
    NewFile,
    basename,
    check_head,
    check_name,
    check_purpose,
    refuse_others,
    required,
)
from afina.blobs import Written, measure
from afina.errors import CorruptBlob, InvalidRequest
from afina.schemas.uploads import CompleteUpload, CreateUpload, Upload, UploadPart
from afina.store import clock, uploads
from afina.store.scope import Scope

router = APIRouter(prefix="/uploads", route_class=ThreadedRoute)

MAX_BYTES = 8 * 1024 * MEBIBYTE
PART = Expected("data", 64 * MEBIBYTE)
OPEN_SECONDS = 3600
MD5 = re.compile("[0-9a-fA-F]{32}")


@router.post("")
def create(
    *,
    caller: Member,
    rooms: InRooms,
    response: Response,
    again: Again,
    body: Annotated[Body[CreateUpload], Depends(json_body(CreateUpload))],
) -> Upload:
    """Say what is going to be uploaded within an hour."""
    asked = body.value
    check_purpose(asked.purpose)
    filename = basename(asked.filename, param="filename")
    check_name(filename, asked.purpose)
    if asked.bytes > MAX_BYTES:
        text = f"Upload is too large. Max {MAX_BYTES // MEBIBYTE} MB."
        raise InvalidRequest(text, param="bytes", code="upload_too_large")

    def make(scope: Scope) -> tuple[str, Upload]:
        now = clock.seconds(scope)
        upload = Upload(
            id=ids.prefixed("upload_"),
            bytes=asked.bytes,
            created_at=now,
            expires_at=now + OPEN_SECONDS,
            filename=filename,
            purpose=asked.purpose,
            mime_type=asked.mime_type,
            expires_after=asked.expires_after and asked.expires_after.seconds,
        )
        return upload.id, uploads.insert(scope, upload, actor=caller.key_id)

    with rooms.database.scope(caller.project_id) as scope:
        attempt = again.attempt("uploads", body.sha256)
        return attempts.once(scope, attempt, response, find=uploads.get, make=make)


@router.post("/{upload_id}/parts")
async def create_part(
    *, upload_id: str, request: Request, response: Response, caller: Member, rooms: InRooms, again: Again
) -> UploadPart:
    """Store one part; parts may arrive in any order, and at the same time."""
    await run_in_threadpool(check_pending, rooms, caller, upload_id)
    part = UploadPart(id=ids.prefixed("part_"), created_at=0, upload_id=upload_id)
    written = await store_part(request, rooms, part.blob)

    def make(scope: Scope) -> tuple[str, UploadPart]:
        found = {"created_at": clock.seconds(scope), "bytes": written.bytes, "sha256": written.sha256}
        return part.id, uploads.insert_part(scope, part.model_copy(update=found))

    def keep() -> UploadPart:
        attempt = again.attempt(f"uploads.parts {upload_id}", written.sha256)
        with rooms.database.scope(caller.project_id) as scope:
            return attempts.once(scope, attempt, response, find=uploads.get_part, make=make)

    try:
        kept = await run_in_threadpool(keep)
    except InvalidRequest:  # there is no row; after any other error nobody knows: the sweep decides
        await run_in_threadpool(rooms.blobs.delete, part.blob)
        raise
    if kept.id != part.id:  # an equal attempt has stored the same before
        await run_in_threadpool(rooms.blobs.delete, part.blob)
    return kept


def check_pending(rooms: Rooms, caller: Caller, upload_id: str) -> None:
    """Refuse a part before its bytes are read."""
    with rooms.database.read(caller.project_id) as scope:
        uploads.pending(scope, upload_id)


async def store_part(request: Request, rooms: Rooms, blob: str) -> Written:
    """Write the part of a form to its blob while it arrives; a form that is refused leaves nothing."""
    async with received(request, rooms.blobs, blob, expected=PART) as found:
        refuse_others(found.form, set())
        if found.form.filename is None:
            raise required("data")
        if found.form.file_bytes == 0:
            raise InvalidRequest("Part is empty.", param="data", code="empty_part")
        return await found.keep()


@router.post("/{upload_id}/complete")
async def complete(
    upload_id: str,
    caller: Member,
    rooms: InRooms,
    body: Annotated[Body[CompleteUpload], Depends(json_body(CompleteUpload))],
) -> Upload:
    """Make the parts one file, in the order in which they are named."""
    return await to_thread.run_sync(joined, rooms, caller, upload_id, body.value, limiter=rooms.joins)


def joined(rooms: Rooms, caller: Caller, upload_id: str, asked: CompleteUpload) -> Upload:
    """The upload with its file, also where another request has just made it."""
    try:
        return join(rooms, caller, upload_id, asked)
    except CorruptBlob:  # another request may have been quicker, and has let go of the parts
        with rooms.database.read(caller.project_id) as scope:
            upload = uploads.get(scope, upload_id)
            if upload.status == "completed":
                return upload
            uploads.pending(scope, upload_id)
        raise


def join(rooms: Rooms, caller: Caller, upload_id: str, asked: CompleteUpload) -> Upload:
    """The upload with its file, which other requests may be making at the same time."""
    with rooms.database.read(caller.project_id) as scope:
        upload = uploads.get(scope, upload_id)
        if upload.status == "completed":
            return upload
        uploads.pending(scope, upload_id)
        parts = uploads.ordered(scope, upload_id, asked.part_ids)
    blobs = [part.blob for part in parts]
    written = check_bytes(rooms, upload, blobs, md5=asked.md5)
    return publish(rooms, caller, upload, blobs, written=written)


def check_bytes(rooms: Rooms, upload: Upload, blobs: Sequence[str], *, md5: str | None) -> Written:
    """Read the parts once; refuse what is not what was announced. An `md5` that is none is not looked at."""
    digest = hashlib.md5(usedforsecurity=False)
    chunks = chain.from_iterable(rooms.blobs.read(blob) for blob in blobs)
    written = measure(observed(chunks, digest.update))
    if written.bytes != upload.bytes:
        text = f"The parts do not add up to the upload: expected {upload.bytes} bytes, got {written.bytes}."
        raise InvalidRequest(text, param="part_ids", code="invalid_value")
    if not blobs:
        raise InvalidRequest("File is empty.", param="part_ids", code="empty_file")
    if md5 is not None and MD5.fullmatch(md5) and md5.lower() != digest.hexdigest():
        text = "The MD5 of the uploaded bytes is not the one given."
        raise InvalidRequest(text, param="md5", code="checksum_mismatch")
    check_head(next(rooms.blobs.read(blobs[0], chunk=HEAD), b""), upload.purpose)
    return written


def observed(chunks: Iterable[bytes], listener: Callable[[bytes], object]) -> Iterator[bytes]:
    """The same chunks, of which somebody else hears too."""
    for chunk in chunks:
        listener(chunk)
        yield chunk


def publish(
    rooms: Rooms, caller: Caller, upload: Upload, blobs: Sequence[str], *, written: Written
) -> Upload:
    """Join the parts, then write the row that makes them a file, then let go of them."""
    identifier = ids.file_id()
    blob = f"files/{identifier}"
    new = NewFile(upload.filename, upload.purpose, upload.expires_after)
    rooms.blobs.join(blob, blobs)
    try:
        with rooms.database.scope(caller.project_id) as scope:
            file = new.file(identifier, written, now=clock.seconds(scope))
            done = uploads.complete(scope, upload.id, file, actor=caller.key_id)
    except InvalidRequest:
        rooms.blobs.delete(blob)
        raise
    if done.file_id != identifier:  # an equal request was quicker
        rooms.blobs.delete(blob)
    rooms.blobs.delete(upload.folder)
    return done


@router.post("/{upload_id}/cancel")
def cancel(upload_id: str, caller: Member, rooms: InRooms) -> Upload:
    """Give an upload up, with all its parts."""
    with rooms.database.scope(caller.project_id) as scope:
        upload = uploads.cancel(scope, upload_id, actor=caller.key_id)
    rooms.blobs.delete(upload.folder)
    return upload
