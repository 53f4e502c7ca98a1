"""`/v1/batches`: create, list, retrieve, cancel. The requests are read and answered by a worker."""

from typing import Annotated

from fastapi import APIRouter, Depends, Response

from afina import ids
from afina.api import attempts
from afina.api.attempts import Again
from afina.api.auth import Member, Viewer
from afina.api.body import Body, json_body
from afina.api.queries import After, Limit
from afina.api.rooms import InRooms
from afina.api.routes import ThreadedRoute
from afina.schemas.batches import WINDOW_SECONDS, Batch, CreateBatch
from afina.schemas.record import Page
from afina.store import batches, clock
from afina.store.scope import Scope

router = APIRouter(prefix="/batches", route_class=ThreadedRoute)


@router.post("")
def create(
    *,
    caller: Member,
    rooms: InRooms,
    response: Response,
    again: Again,
    body: Annotated[Body[CreateBatch], Depends(json_body(CreateBatch))],
) -> Batch:
    """Write down what is wanted: the batch and the work on it, in one transaction."""
    asked = body.value

    def make(scope: Scope) -> tuple[str, Batch]:
        now = clock.seconds(scope)
        batch = Batch(
            id=ids.prefixed("batch_"),
            endpoint=asked.endpoint,
            input_file_id=asked.input_file_id,
            created_at=now,
            expires_at=now + WINDOW_SECONDS,
            metadata=asked.metadata,
            output_expires_after=asked.output_expires_after and asked.output_expires_after.seconds,
        )
        return batch.id, batches.insert(scope, batch, actor=caller.key_id)

    with rooms.database.scope(caller.project_id) as scope:
        attempt = again.attempt("batches", body.sha256)
        return attempts.once(scope, attempt, response, find=batches.get, make=make)


@router.get("")
def page(*, caller: Viewer, rooms: InRooms, limit: Limit, after: After = None) -> Page[Batch]:
    """The project's batches, newest first."""
    with rooms.database.read(caller.project_id) as scope:
        return batches.page(scope, after=after, limit=limit)


@router.get("/{batch_id}")
def retrieve(batch_id: str, caller: Viewer, rooms: InRooms) -> Batch:
    """One batch."""
    with rooms.database.read(caller.project_id) as scope:
        return batches.get(scope, batch_id)


@router.post("/{batch_id}/cancel")
def cancel(batch_id: str, caller: Member, rooms: InRooms) -> Batch:
    """Ask for the end of a batch that has not ended; what was answered by then becomes its output."""
    with rooms.database.scope(caller.project_id) as scope:
        return batches.cancel(scope, batch_id, actor=caller.key_id)
