"""A token is on its way before the next one is computed, and the 200th costs what the 20th does.

The chain is the real one, client to API to host to engine, but API and host are threads of this process: so the
engine can be held between its first step and its second, which proves the order without any clock.
"""

import itertools
import statistics
import tempfile
import threading
import time
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import openai
import pytest
import torch
import uvicorn
from fastapi import FastAPI

import afina.base
from afina.api.app import create_app
from afina.engine.cache import Cache
from afina.engine.engine import Engine
from afina.engine.model import load
from afina.engine.sample import Sampler
from afina.engine.types import SamplingParams
from afina.host.app import create_app as create_host
from afina.serving.registry import register_bundled
from afina.settings import Settings
from afina.store import hosts, projects
from afina.store.database import Database
from afina_server import KEY, free_port, until


class Gate:
    """Holds a sampler between its first step, which makes the first token, and its second."""

    def __init__(self, sampler: Sampler):
        self.step = sampler.step
        self.begun = 0
        self.opened = threading.Event()
        sampler.step = self.next  # type: ignore[method-assign]

    def next(self) -> None:
        if self.begun == 1:
            self.opened.wait()
        self.begun += 1
        self.step()


def test_the_first_chunk_arrives_before_the_second_token_exists(tmp_path: Path) -> None:
    with chain(tmp_path) as (client, host):
        gate = Gate(host.state.rooms.runs.engine._sampler)
        try:
            stream = client.chat.completions.create(
                model="afina-tiny",
                messages=[{"role": "user", "content": "Who is number 3?"}],
                temperature=0,
                max_tokens=4,
                stream=True,
                stream_options={"include_usage": True},
            )
            first = next(chunk for chunk in stream if chunk.choices and chunk.choices[0].delta.content)
            assert gate.begun == 1
            assert first.choices[0].finish_reason is None
        finally:
            gate.opened.set()
        (last,) = [chunk for chunk in stream if chunk.usage is not None]
        assert last.usage is not None and last.usage.completion_tokens > 1


@contextmanager
def chain(folder: Path) -> Generator[tuple[openai.OpenAI, FastAPI]]:
    """The official client before an API before a host."""
    settings = Settings(data=folder, host_start_seconds=30)
    database = Database(settings.database)
    database.upgrade()
    host = create_host(afina.base.path(), name=afina.base.NAME, dtype="float32", threads=1)
    with (
        tempfile.TemporaryDirectory() as short,
        serving(uvicorn.Config(host, uds=f"{short}/host.sock", log_level="error")),
    ):
        with database.system() as system:
            projects.create_first(system, KEY)
            register_bundled(system)
            hosts.starting(system, afina.base.NAME, "test")
            hosts.ready(system, afina.base.NAME, "test", address=f"unix:{short}/host.sock", pid=1)
        database.close()
        port = free_port()
        with (
            serving(uvicorn.Config(create_app(settings), port=port, log_level="error")),
            openai.OpenAI(base_url=f"http://127.0.0.1:{port}/v1", api_key=KEY, max_retries=0) as client,
        ):
            yield client, host


@contextmanager
def serving(config: uvicorn.Config) -> Generator[None]:
    """An application on a thread of its own."""
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        until(lambda: server.started or not thread.is_alive(), bool, what="a server is up")
        assert server.started
        yield
    finally:
        server.should_exit = True
        thread.join()


def test_the_cache_grows_by_doubling_and_copies_nothing_else() -> None:
    cache = Cache(load(afina.base.path(), dtype="float32", device="cpu"))
    cache.take(10)
    keys = torch.zeros(1, 2, 10, 64)
    places = []
    for _ in range(250):
        cache.extend()
        places.append(cache.slab(0, keys).data_ptr())
    moves = sum(before != after for before, after in itertools.pairwise(places))
    assert cache.lengths == [260]
    assert moves == 3  # at 64, 128 and 256


@pytest.mark.slow
async def test_token_200_costs_less_than_one_and_a_half_of_token_20() -> None:
    engine = await Engine.open(afina.base.path(), threads=1)
    try:
        pairs = [await costs(engine, seed) for seed in range(9)]
    finally:
        await engine.close()
    early, late = (statistics.median(side) for side in zip(*pairs, strict=True))
    print(f"token 20: {early * 1e3:.2f} ms, token 200: {late * 1e3:.2f} ms")
    assert late < 1.5 * early


async def costs(engine: Engine, seed: int) -> tuple[float, float]:
    """Median seconds of a token around the 20th and around the 200th."""
    moments = []
    async for _ in engine.sample(None, [5, 6, 7, 8], SamplingParams(max_tokens=220, seed=seed)):
        moments.append(time.perf_counter())
    gaps = [after - before for before, after in itertools.pairwise(moments)]
    return statistics.median(gaps[10:30]), statistics.median(gaps[190:210])
