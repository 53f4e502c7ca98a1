"""Serving against a real host with the bundled base: its tokens, its adapters, its ways of saying no."""

import asyncio
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

import afina.base
from afina.blobs import Blobs
from afina.errors import Unavailable
from afina.schemas.chat import CreateChatCompletion
from afina.serving.registry import register_bundled
from afina.serving.router import Router
from afina.settings import Settings
from afina.store import hosts, projects
from afina.store.database import Database

HELLO = {
    "model": "afina-tiny",
    "messages": [{"role": "user", "content": "Hello"}],
    "temperature": 0,
    "max_tokens": 12,
}


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    """A host in a process of its own."""
    folder = tempfile.mkdtemp()
    socket = f"{folder}/host.sock"
    command = [
        sys.executable,
        "-m",
        "afina.host",
        "--base",
        "afina-tiny",
        "--socket",
        socket,
        "--threads",
        "1",
    ]
    command += ["--source", str(afina.base.path()), "--parent", str(os.getpid())]
    process = subprocess.Popen(command, env={**os.environ, "OMP_NUM_THREADS": "1"})
    end = time.monotonic() + 60
    while not Path(socket).exists():
        assert process.poll() is None and time.monotonic() < end
        time.sleep(0.05)
    yield f"unix:{socket}"
    process.terminate()
    process.wait(30)
    shutil.rmtree(folder)


@pytest.fixture
async def router(tmp_path: Path, address: str) -> AsyncIterator[Router]:
    settings = Settings(data=tmp_path, host_start_seconds=10)
    database = Database(settings.database)
    database.upgrade()
    with database.system() as system:
        projects.create_first(system, "sk-owner")
        register_bundled(system)
        hosts.starting(system, "afina-tiny", "test")
        hosts.ready(system, "afina-tiny", "test", address=address, pid=1)
    opened = Router(database, Blobs(tmp_path / "blobs"), settings)
    yield opened
    await opened.close()
    database.close()


def ask(**fields: object) -> CreateChatCompletion:
    return CreateChatCompletion.model_validate({**HELLO, **fields})


async def test_the_stream_equals_the_whole_reply(router: Router):
    target = router.find(project(router), "afina-tiny")
    whole = await router.complete(target, ask(n=2, seed=7, temperature=1))
    texts = ["", ""]
    async for chunk in router.stream(target, ask(n=2, seed=7, temperature=1, stream=True)):
        for choice in chunk.choices:
            texts[choice.index] += choice.delta.content or ""
    assert texts == [choice.message.content for choice in whole.choices]
    assert 0 < whole.usage.completion_tokens <= 24
    again = await router.complete(target, ask(n=2, seed=7, temperature=1))
    assert again.choices == whole.choices


async def test_a_stop_sequence_and_a_length(router: Router):
    target = router.find(project(router), "afina-tiny")
    long = (await router.complete(target, ask(max_tokens=8))).choices[0]
    text = long.message.content or ""
    assert text
    stop = text[len(text) // 2 :][:3]
    cut = (await router.complete(target, ask(max_tokens=8, stop=stop))).choices[0]
    assert cut.finish_reason == "stop" and cut.message.content == text[: text.index(stop)]
    one = await router.complete(target, ask(max_tokens=1))
    assert one.choices[0].finish_reason in ("length", "stop") and one.usage.completion_tokens == 1


async def test_leaving_a_stream_frees_the_host(router: Router):
    target = router.find(project(router), "afina-tiny")
    for _ in range(3):
        stream = router.stream(target, ask(max_tokens=2000, stream=True))
        await anext(stream)
        await stream.aclose()
    reply = await asyncio.wait_for(router.complete(target, ask(max_tokens=2)), 30)
    assert reply.choices


async def test_a_base_that_the_host_does_not_have(router: Router):
    target = router.find(project(router), "afina-tiny")
    asked = router.prepare(target, ask())
    assert asked.completion
    with pytest.raises(Unavailable):
        await router.hosts.complete(target, asked.completion.model_copy(update={"model": "another"}))


def project(router: Router) -> str:
    with router.database.system(read=True) as system:
        return projects.every(system)[0].id
