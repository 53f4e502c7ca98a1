"""The events of responses on the wire."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing

from fastapi.concurrency import run_in_threadpool

from afina.api.callers import Caller
from afina.api.rooms import Rooms
from afina.schemas.response_replies import FINAL, ResponseEvent, StoredResponse
from afina.serving.response_events import replay
from afina.store import responses as rows

POLL_SECONDS = 0.25


async def server_sent(events: AsyncGenerator[ResponseEvent]) -> AsyncGenerator[str]:
    """Server-sent events, each under its name."""
    async with aclosing(events):
        async for event in events:
            yield f"event: {event.type}\ndata: {event.model_dump_json()}\n\n"


async def follow(
    rooms: Rooms, caller: Caller, response_id: str, *, known: int = -1
) -> AsyncGenerator[ResponseEvent]:
    """The events behind a number that is known; those of a response in the background come when it is final."""

    def read() -> StoredResponse | None:
        with rooms.database.read(caller.project_id) as scope:
            return rows.find(scope, response_id)

    while (stored := await run_in_threadpool(read)) is not None:
        for event in replay(stored):
            if event.sequence_number > known:
                known = event.sequence_number
                yield event
        if stored.response.status in FINAL:
            return
        await asyncio.sleep(POLL_SECONDS)
