"""Replies that grow: server-sent events, and what happens when their reader leaves early."""

import asyncio
import json
from collections.abc import AsyncGenerator, Coroutine
from contextlib import aclosing
from typing import TypeVar

from fastapi import Request
from fastapi.responses import StreamingResponse
from starlette.requests import ClientDisconnect

from afina.errors import AfinaError
from afina.schemas.chat_replies import ChatChunk
from afina.schemas.text_completions import TextCompletion

Result = TypeVar("Result")
Piece = TypeVar("Piece", ChatChunk, TextCompletion)


async def streamed(
    request: Request, pieces: AsyncGenerator[Piece], *, usage: bool, headers: dict[str, str]
) -> StreamingResponse:
    """The pieces as events; what fails before the first one still becomes an ordinary error reply."""
    first = await while_there(request, first_of(pieces))
    return event_stream(events(first, pieces, usage=usage), headers)


async def first_of(pieces: AsyncGenerator[Result]) -> Result:
    """The first piece, as work that can be given up."""
    return await anext(pieces)


def event_stream(lines: AsyncGenerator[str], headers: dict[str, str]) -> StreamingResponse:
    """Server-sent events that nobody on the way holds back."""
    unbuffered = {"cache-control": "no-cache", "x-accel-buffering": "no"}
    return StreamingResponse(lines, media_type="text/event-stream", headers={**headers, **unbuffered})


async def events(first: Piece, pieces: AsyncGenerator[Piece], *, usage: bool) -> AsyncGenerator[str]:
    """Server-sent events; an error in the middle is the last of them, and then `[DONE]` does not come."""
    async with aclosing(pieces):
        yield event(first, usage=usage)
        try:
            async for piece in pieces:
                if usage or piece.usage is None:
                    yield event(piece, usage=usage)
        except AfinaError as error:
            yield f"data: {json.dumps(error.wire())}\n\n"
            return
    yield "data: [DONE]\n\n"


def event(piece: ChatChunk | TextCompletion, *, usage: bool) -> str:
    """One piece on the wire; the key `usage` is there only where it was asked for."""
    return f"data: {piece.model_dump_json(exclude=None if usage else {'usage'})}\n\n"


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
