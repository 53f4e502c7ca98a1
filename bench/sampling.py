"""Our leg of `serve`: the engine's sampler, all requests at once, each with its adapter."""

import asyncio
import time
from multiprocessing.connection import Connection

from afina.engine.engine import Engine
from afina.engine.types import SamplingParams
from afina.processes import settle
from bench.legs import peak_bytes
from bench.requests import Sampled, Sampling, Wanted


def serve(connection: Connection, given: Sampling) -> None:
    """A leg that answers all requests each time it is asked."""
    asyncio.run(_serve(connection, given))


async def _serve(connection: Connection, given: Sampling) -> None:
    engine = await Engine.open(given.base, dtype=given.dtype, threads=given.threads)
    settle()  # as hosts do
    for number, folder in enumerate(given.adapters):
        await engine.create_adapter(str(number), None, start=folder)
    connection.send("ready")
    while connection.recv() is not None:
        begun = time.perf_counter()
        ids = await asyncio.gather(*(one(engine, given, wanted) for wanted in given.requests))
        connection.send(Sampled(time.perf_counter() - begun, tuple(ids), peak_bytes()))
    await engine.close()


async def one(engine: Engine, given: Sampling, wanted: Wanted) -> tuple[int, ...]:
    """The greedy continuation of one prompt."""
    adapter = str(wanted.adapter) if given.adapters else None
    params = SamplingParams(max_tokens=wanted.tokens, temperature=0)
    return tuple([token.id async for token in engine.sample(adapter, list(wanted.prompt), params)])
