"""`/v1/responses`: made whole, as a stream or in the background; retrieved, replayed, cancelled, deleted."""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from functools import partial
from typing import Annotated

from fastapi import APIRouter, Depends, Query, Request, Response
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import JSONResponse

from afina.api.auth import Caller, Member, Viewer
from afina.api.body import Body, json_body
from afina.api.chat import warning
from afina.api.item_pages import item_page
from afina.api.queries import After, Order, limited
from afina.api.response_streams import follow, server_sent
from afina.api.rooms import InRooms, Rooms
from afina.api.streams import event_stream, first_of, while_there
from afina.schemas.record import Deleted
from afina.schemas.response_replies import (
    CompactedResponse,
    InputTokens,
    ResponseEvent,
    StoredResponse,
)
from afina.schemas.response_replies import Response as ResponseReply
from afina.schemas.responses import CompactResponse, CountInputTokens, CreateResponse, Spoken
from afina.serving import response_turns, responses
from afina.serving.response_turns import Turn, begin, found
from afina.store import responses as rows
from afina.store import work

router = APIRouter(prefix="/responses")


@router.post("", response_model=None)
async def create(
    request: Request,
    caller: Member,
    rooms: InRooms,
    body: Annotated[Body[CreateResponse], Depends(json_body(CreateResponse))],
) -> Response:
    """Answer, and keep the answer unless told not to; whoever leaves early gets none."""
    asked = body.value
    turn = await run_in_threadpool(begin, rooms.router, caller.project_id, asked)
    headers = warning(turn.target)
    if asked.background:
        return await in_background(rooms, caller, turn, headers)
    keep = partial(kept, rooms, caller, turn)
    if not asked.stream:
        stored = await while_there(request, responses.complete(rooms.router, turn))
        await keep(stored)
        return JSONResponse(stored.response.wire(), headers=headers)
    events = responses.stream(rooms.router, turn, keep)
    # What fails before the first event still becomes an ordinary error reply.
    first = await while_there(request, first_of(events))
    return event_stream(server_sent(chained(first, events)), headers)


async def kept(rooms: Rooms, caller: Caller, turn: Turn, stored: StoredResponse) -> None:
    """Make a response durable."""

    def write() -> None:
        with rooms.database.scope(caller.project_id) as scope:
            response_turns.keep(scope, turn, stored)

    await run_in_threadpool(write)


async def in_background(rooms: Rooms, caller: Caller, turn: Turn, headers: dict[str, str]) -> Response:
    """Leave the response to a worker, and stream it as soon as it is there where a stream is wanted."""
    queued = turn.begun.response.model_copy(update={"status": "queued"})
    asked = turn.request.model_dump(mode="json", by_alias=True)
    stored = turn.begun.model_copy(update={"response": queued, "request": asked})

    def write() -> None:
        with rooms.database.scope(caller.project_id) as scope:
            response_turns.keep(scope, turn, stored)
            work.enqueue(scope, queued.id, "respond")

    await run_in_threadpool(write)
    if turn.request.stream:
        return event_stream(server_sent(follow(rooms, caller, queued.id)), headers)
    return JSONResponse(queued.wire(), headers=headers)


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
    spoken = Spoken(model=asked.model, previous_response_id=asked.previous_response_id)
    target, past = await run_in_threadpool(found, rooms.router, caller.project_id, spoken)
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
    limit: Annotated[int, Depends(limited(20, 100))],
    after: After = None,
    order: Order = "desc",
) -> JSONResponse:
    """What a response was asked, without what was said before."""
    with rooms.database.read(caller.project_id) as scope:
        stored = rows.get(scope, response_id)
    return JSONResponse(item_page(stored.input, after=after, limit=limit, ascending=order == "asc").wire())
