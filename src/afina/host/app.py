"""The host's door: runs in, tokens out."""

import asyncio
import json
from collections.abc import AsyncGenerator, AsyncIterator, Coroutine
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from fastapi import APIRouter, Depends, FastAPI, Request
from fastapi.responses import JSONResponse, Response, StreamingResponse

from afina.data.render import Renderer
from afina.engine.engine import Engine
from afina.engine.grammar import Grammars
from afina.errors import AfinaError, Unavailable
from afina.host.adapters import Adapters
from afina.host.completions import Completions
from afina.host.runs import Runs
from afina.processes import settle
from afina.schemas.completions import (
    Completion,
    CompletionRequest,
    Health,
    LoadAdapter,
    StartRun,
    UnloadAdapter,
)
from afina.training.rollouts import Speech


@dataclass(frozen=True)
class Rooms:
    """What the routes use, there as soon as the base model is loaded."""

    runs: Runs
    adapters: Adapters
    completions: Completions


def create_app(source: Path, *, name: str, dtype: str, threads: int) -> FastAPI:
    """One base model's server; it answers once the model is loaded."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncGenerator[None]:
        engine = await Engine.open(source, dtype=dtype, threads=threads)
        settle()
        adapters, renderer = Adapters(engine), Renderer(source)
        grammars = Grammars(
            source / "tokenizer.json", vocab_size=engine.vocab_size, stop_ids=renderer.stop_ids
        )
        runs = Runs(engine, Speech(renderer, grammars))
        completions = Completions(engine, adapters, renderer, grammars=grammars, base=name)
        app.state.rooms = Rooms(runs, adapters, completions)
        try:
            yield
            await runs.close()
        finally:
            await engine.close()

    app = FastAPI(title=f"afina host of {name}", lifespan=lifespan, openapi_url=None)
    app.include_router(router)
    app.add_exception_handler(AfinaError, refuse)
    return app


def rooms_of(request: Request) -> Rooms:
    """The rooms of the host that got this request."""
    return request.app.state.rooms


HostRooms = Annotated[Rooms, Depends(rooms_of)]
router = APIRouter()


@router.get("/health")
async def health(rooms: HostRooms) -> Health:
    """What the host is doing."""
    return Health(runs=list(rooms.runs.tasks), adapters=list(rooms.adapters.users))


@router.post("/runs")
async def start_run(request: StartRun, rooms: HostRooms) -> dict[str, str]:
    """Start a run."""
    rooms.runs.start(Path(request.spec))
    return {}


@router.post("/runs/{run}/stop")
async def stop_run(run: str, rooms: HostRooms) -> dict[str, str]:
    """Ask a run to stop after its next step."""
    rooms.runs.stop(run)
    return {}


@router.post("/v1/load_lora_adapter")
async def load_adapter(request: LoadAdapter, rooms: HostRooms) -> dict[str, str]:
    """Make an adapter answer under a name."""
    await rooms.adapters.load(request.lora_name, Path(request.lora_path))
    return {}


@router.post("/v1/unload_lora_adapter")
async def unload_adapter(request: UnloadAdapter, rooms: HostRooms) -> dict[str, str]:
    """Forget an adapter."""
    await rooms.adapters.unload(request.lora_name)
    return {}


@router.post("/v1/completions")
async def complete(request: CompletionRequest, rooms: HostRooms, caller: Request) -> Response:
    """Continue a prompt, whole or streamed."""
    if not request.stream:
        reply = await while_connected(caller, rooms.completions.whole(request))
        return JSONResponse(reply.wire())
    stream = rooms.completions.stream(request)
    first = await anext(stream)  # an unknown model is a 404, not a broken stream
    return StreamingResponse(server_sent(first, stream), media_type="text/event-stream")


async def while_connected(caller: Request, work: Coroutine[None, None, Completion]) -> Completion:
    """The outcome of `work`, which is given up when its caller hangs up."""
    working = asyncio.ensure_future(work)
    leaving = asyncio.ensure_future(caller.receive())  # the body is read: only a hang-up is left to come
    try:
        await asyncio.wait((working, leaving), return_when=asyncio.FIRST_COMPLETED)
        if not working.done():
            raise Unavailable("The caller has hung up.")
        return working.result()
    finally:
        working.cancel()
        leaving.cancel()
        await asyncio.wait((working, leaving))


async def refuse(_: Request, error: Exception) -> JSONResponse:
    """A refusal in the words of the API, so that serving can pass it on."""
    assert isinstance(error, AfinaError)
    return JSONResponse(error.wire(), status_code=error.status)


async def server_sent(first: Completion, rest: AsyncGenerator[Completion]) -> AsyncIterator[str]:
    """Chunks as server-sent events; what breaks on the way is an event too, and then `[DONE]` is missing."""
    try:
        async with aclosing(rest):
            yield event(first)
            async for chunk in rest:
                yield event(chunk)
    except AfinaError as error:
        yield f"data: {json.dumps(error.wire())}\n\n"
        return
    yield "data: [DONE]\n\n"


def event(chunk: Completion) -> str:
    """One server-sent event."""
    return f"data: {chunk.model_dump_json()}\n\n"
