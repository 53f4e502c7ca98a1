"""`/v1/responses`: made whole, as a stream or in the background; retrieved, replayed, cancelled, deleted."""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from functools import partial
from typing import Annotated

from fastapi import APIRouter, Depends, Query, Request, Response
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import JSONResponse

from afina.api import attempts
from afina.api.attempts import Again
from afina.api.auth import Member, Viewer
from afina.api.body import Body, json_body
from afina.api.callers import Caller
from afina.api.chat import warning
from afina.api.item_pages import item_page
from afina.api.queries import WhichItems
from afina.api.response_streams import follow, server_sent
from afina.api.rooms import InRooms, Rooms
from afina.api.routes import ThreadedRoute
from afina.api.streams import event_stream, first_of, while_there
from afina.schemas.record import Deleted
from afina.schemas.response_replies import (
    CompactedResponse,
    InputTokens,
    ResponseEvent,
    StoredResponse,
)
from afina.schemas.response_replies import Response as ResponseReply
from afina.schemas.responses import CompactResponse, CountInputTokens, CreateResponse, ResponsePrompt
from afina.serving import response_turns, responses
from afina.serving.response_turns import Turn, begin, found
from afina.store import idempotency, work
from afina.store import responses as rows
from afina.store.idempotency import Attempt

router = APIRouter(prefix="/responses", route_class=ThreadedRoute)


@router.post("", response_model=None)
async def create(
    *,
    request: Request,
    caller: Member,
    rooms: InRooms,
    again: Again,
    body: Annotated[Body[CreateResponse], Depends(json_body(CreateResponse))],
) -> Response:
    """Answer, and keep the answer unless told not to; whoever leaves early gets none."""
    asked, attempt = body.value, again.attempt("responses", body.sha256)
    if attempt.again and (known := await run_in_threadpool(kept_before, rooms, caller, attempt)):
        return replayed(rooms, caller, known, streamed=bool(asked.stream))
    turn = await run_in_threadpool(begin, rooms.router, caller.project_id, asked)
    headers = warning(turn.target)
    keep = partial(kept, rooms, caller, turn=turn, attempt=attempt)
    if asked.background:
        stored = await keep(in_background(turn, caller))
        if asked.stream:
            return event_stream(server_sent(follow(rooms, caller, stored.response.id)), headers)
        return JSONResponse(stored.response.wire(), headers=headers)
    if not asked.stream:
        stored = await keep(await while_there(request, responses.complete(rooms.router, turn)))
        return JSONResponse(stored.response.wire(), headers=headers)
    events = responses.stream(rooms.router, turn, keep)
    # What fails before the first event still becomes an ordinary error reply.
    first = await while_there(request, first_of(events))
    return event_stream(server_sent(chained(first, events)), headers)


def kept_before(rooms: Rooms, caller: Caller, attempt: Attempt) -> StoredResponse | None:
    """What an equal attempt has kept."""
    with rooms.database.scope(caller.project_id) as scope:
        known = idempotency.replay(scope, attempt)
        return known and rows.get(scope, known.object_id)


def replayed(rooms: Rooms, caller: Caller, stored: StoredResponse, *, streamed: bool) -> Response:
    """A response that was kept before, or the events of its stream."""
    if streamed:
        return event_stream(server_sent(follow(rooms, caller, stored.response.id)), attempts.REPLAYED)
    return JSONResponse(stored.response.wire(), headers=attempts.REPLAYED)


async def kept(
    rooms: Rooms, caller: Caller, stored: StoredResponse, *, turn: Turn, attempt: Attempt
) -> StoredResponse:
    """Make a response durable, unless an equal attempt was quicker: then it is that one's.

    Of a stream it is too late to say so: two equal ones at the same time are two responses.
    """

    def write() -> StoredResponse:
        with rooms.database.scope(caller.project_id) as scope:
            known = None if turn.request.stream else idempotency.replay(scope, attempt)
            if known is not None:
                return rows.get(scope, known.object_id)
            response_turns.keep(scope, turn, stored)
            if turn.request.store is not False:
                idempotency.remember(scope, attempt, stored.response.id)
            if stored.request is not None:
                work.enqueue(scope, stored.response.id, "respond")
            return stored

    return await run_in_threadpool(write)


def in_background(turn: Turn, caller: Caller) -> StoredResponse:
    """The response as a worker finds it."""
    queued = turn.begun.response.model_copy(update={"status": "queued"})
    asked = turn.request.model_dump(mode="json", by_alias=True)
    return turn.begun.model_copy(update={"response": queued, "request": asked, "api_key_id": caller.key_id})


async def chained(
    first: ResponseEvent, events: AsyncGenerator[ResponseEvent]
) -> AsyncGenerator[ResponseEvent]:
    """All events again; who stops listening ends the generation."""
    async with aclosing(events):
        yield first
        async for event in events:
            yield event


@router.post("/input_tokens")
def count(
    caller: Viewer,
    rooms: InRooms,
    body: Annotated[Body[CountInputTokens], Depends(json_body(CountInputTokens))],
) -> InputTokens:
    """How many tokens a request would put in."""
    target, past = found(rooms.router, caller.project_id, body.value)
    return responses.count(rooms.router, target, body.value, past)


@router.post("/compact")
async def compact(
    request: Request,
    caller: Member,
    rooms: InRooms,
    body: Annotated[Body[CompactResponse], Depends(json_body(CompactResponse))],
) -> CompactedResponse:
    """A conversation in short, as the model itself sums it up."""
    asked = body.value
    prompt = ResponsePrompt(model=asked.model, previous_response_id=asked.previous_response_id)
    target, past = await run_in_threadpool(found, rooms.router, caller.project_id, prompt)
    return await while_there(request, responses.compact(rooms.router, target, asked, past))


@router.get("/{response_id}", response_model=None)
def retrieve(
    *,
    response_id: str,
    caller: Viewer,
    rooms: InRooms,
    stream: bool = False,
    starting_after: Annotated[int | None, Query(ge=0)] = None,
) -> Response:
    """One response, or the events of its stream behind one that is known."""
    with rooms.database.read(caller.project_id) as scope:
        stored = rows.get(scope, response_id)
    if not stream:
        return JSONResponse(stored.response.wire())
    known = -1 if starting_after is None else starting_after
    return event_stream(server_sent(follow(rooms, caller, response_id, known=known)), {})


@router.delete("/{response_id}")
def delete(response_id: str, caller: Member, rooms: InRooms) -> Deleted:
    """Forget a response and its input."""
    with rooms.database.scope(caller.project_id) as scope:
        deleted = rows.delete(scope, response_id, actor=caller.key_id)
    return Deleted(id=deleted.id, object="response")


@router.post("/{response_id}/cancel")
def cancel(response_id: str, caller: Member, rooms: InRooms) -> ResponseReply:
    """End a response that is made in the background; one that is final stays what it is."""
    with rooms.database.scope(caller.project_id) as scope:
        return rows.cancel(scope, response_id).response


@router.get("/{response_id}/input_items", response_model=None)
def input_items(
    *,
    response_id: str,
    caller: Viewer,
    rooms: InRooms,
    which: WhichItems,
) -> JSONResponse:
    """What a response was asked, without what was said before."""
    with rooms.database.read(caller.project_id) as scope:
        stored = rows.get(scope, response_id)
    return JSONResponse(item_page(stored.input, which).wire())
