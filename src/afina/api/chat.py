"""`/v1/chat/completions`: a whole reply, or a stream of events. Who leaves early stops the generation."""

import asyncio
import json
from collections.abc import AsyncGenerator, Coroutine
from contextlib import aclosing
from typing import Annotated, TypeVar

from fastapi import APIRouter, Depends, Request, Response
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import JSONResponse, StreamingResponse
from starlette.requests import ClientDisconnect

from afina.api.auth import Member
from afina.api.body import Body, json_body
from afina.api.rooms import InRooms
from afina.errors import AfinaError
from afina.schemas.chat import CreateChatCompletion
from afina.schemas.chat_replies import ChatChunk
from afina.serving.names import Target

router = APIRouter(prefix="/chat/completions")
Result = TypeVar("Result")


@router.post("", response_model=None)
async def create(
    request: Request,
    caller: Member,
    rooms: InRooms,
    body: Annotated[Body[CreateChatCompletion], Depends(json_body(CreateChatCompletion))],
) -> Response:
    """Answer a conversation; the reply carries the name that was asked for."""
    asked = body.value
    target = await run_in_threadpool(rooms.router.find, caller.project_id, asked.model)
    headers = warning(target)
    if not asked.stream:
        reply = await while_there(request, rooms.router.complete(target, asked))
        return JSONResponse(reply.wire(), headers=headers)
    chunks = rooms.router.stream(target, asked)
    first = await while_there(request, after_first(chunks))
    headers |= {"cache-control": "no-cache", "x-accel-buffering": "no"}
    return StreamingResponse(
        events(first, chunks, usage=asked.wants_usage), media_type="text/event-stream", headers=headers
    )


def warning(target: Target) -> dict[str, str]:
    """The header that says which model stands in."""
    if target.warning is None:
        return {}
    plain = "".join(letter if " " <= letter <= "~" else "?" for letter in target.warning)
    return {"x-afina-warning": plain}


async def after_first(chunks: AsyncGenerator[ChatChunk]) -> ChatChunk:
    """The first chunk; what fails before it still becomes an ordinary error reply."""
    return await anext(chunks)


async def events(first: ChatChunk, chunks: AsyncGenerator[ChatChunk], *, usage: bool) -> AsyncGenerator[str]:
    """Server-sent events; an error in the middle is the last of them, and then `[DONE]` does not come."""
    async with aclosing(chunks):
        yield event(first, usage=usage)
        try:
            async for chunk in chunks:
                yield event(chunk, usage=usage)
        except AfinaError as error:
            yield f"data: {json.dumps(error.wire())}\n\n"
            return
    yield "data: [DONE]\n\n"


def event(chunk: ChatChunk, *, usage: bool) -> str:
    """One chunk on the wire; the key `usage` is there only where it was asked for."""
    return f"data: {chunk.model_dump_json(exclude=None if usage else {'usage'})}\n\n"


async def while_there(request: Request, work: Coroutine[object, object, Result]) -> Result:
    """The result of `work`, which ends when the client leaves."""
    doing = asyncio.create_task(work)
    leaving = asyncio.create_task(left(request))
    try:
        await asyncio.wait((doing, leaving), return_when=asyncio.FIRST_COMPLETED)
        if not doing.done():
            raise ClientDisconnect
        return doing.result()
    finally:
        for task in (doing, leaving):
            task.cancel()
        await asyncio.wait((doing, leaving))


async def left(request: Request) -> None:
    """Return when the client hangs up; the body has been read, so nothing else can come."""
    while (await request.receive())["type"] != "http.disconnect":
        pass
