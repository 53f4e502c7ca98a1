"""The host's server within the test's own loop, so that a test can look behind its door."""

import asyncio
import contextlib
import tempfile
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
import uvicorn

import tiny_base
from afina.engine.engine import Engine
from afina.engine.fake import FakeEngine
from afina.engine.types import AdapterSpec, SamplingParams, Token
from afina.host import app as host_app
from afina.host.app import Rooms, create_app


@dataclass(frozen=True)
class Served:
    """A host and somebody who calls it."""

    rooms: Rooms
    client: httpx.AsyncClient

    @property
    def engine(self) -> Engine:
        return self.rooms.runs.engine


Serve = Callable[..., AbstractAsyncContextManager[Served]]


@pytest.fixture(scope="session")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_base.make(tmp_path_factory.mktemp("base"))


@pytest.fixture
def serve(base: Path, monkeypatch: pytest.MonkeyPatch) -> Serve:
    """A host on a socket, with the engine given or the real one."""

    @asynccontextmanager
    async def start(engine: FakeEngine | None = None) -> AsyncIterator[Served]:
        if engine is not None:

            async def opened(*arguments: object, **options: object) -> FakeEngine:
                return engine

            monkeypatch.setattr(host_app.Engine, "open", opened)
        app = create_app(base, name="tiny", dtype="float32", threads=1)
        with tempfile.TemporaryDirectory(prefix="afina-") as folder:
            socket = f"{folder}/host.sock"
            server = uvicorn.Server(uvicorn.Config(app, uds=socket, log_level="warning", access_log=False))
            serving = asyncio.create_task(server.serve())
            await until(lambda: server.started or serving.done())
            transport = httpx.AsyncHTTPTransport(uds=socket)
            async with httpx.AsyncClient(transport=transport, base_url="http://host", timeout=30) as client:
                yield Served(app.state.rooms, client)
            server.should_exit = True
            await serving

    return start


async def until(condition: Callable[[], bool]) -> None:
    """Let the others go on until something is so."""
    async with asyncio.timeout(30):
        while not condition():
            await asyncio.sleep(0.005)


@pytest.fixture(name="until")
def until_fixture() -> Callable[..., object]:
    return until


class Hesitant(FakeEngine):
    """Makes its first token, and the others when `go` is set."""

    def __init__(self) -> None:
        super().__init__()
        self.go = asyncio.Event()
        self.made = 0

    async def sample(
        self, adapter: str | None, prompt: list[int], params: SamplingParams
    ) -> AsyncGenerator[Token, None]:
        async with contextlib.aclosing(super().sample(adapter, prompt, params)) as tokens:
            async for token in tokens:
                self.made += 1
                yield token
                await self.go.wait()


@pytest.fixture
def hesitant() -> Hesitant:
    return Hesitant()


@pytest.fixture
def new_adapter(tmp_path: Path) -> Callable[..., object]:
    """A PEFT folder that an engine has written."""

    async def make(engine: Engine | FakeEngine, name: str = "made", *, seed: int = 1) -> Path:
        await engine.create_adapter(f"{name}-maker", AdapterSpec(rank=2, alpha=4.0, seed=seed))
        await engine.save(f"{name}-maker", tmp_path / name)
        await engine.drop(f"{name}-maker")
        return tmp_path / name

    return make
