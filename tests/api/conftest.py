"""A founded data directory for each test, the application over it, and the official client against a real server."""

import asyncio
import shutil
import tempfile
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import replace
from pathlib import Path

import openai
import pytest
import uvicorn
from fastapi import FastAPI, Response
from fastapi.responses import JSONResponse, StreamingResponse
from fastapi.testclient import TestClient

from afina.api.app import create_app
from afina.schemas.completions import (
    Completion,
    CompletionChoice,
    CompletionRequest,
    CompletionUsage,
    LoadAdapter,
    UnloadAdapter,
)
from afina.serving.registry import register_bundled
from afina.settings import Settings
from afina.store import hosts, keys, projects
from afina.store.database import Database

KEY = "sk-owner"
ROW = b'{"messages": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello."}]}\n'


@pytest.fixture(scope="session")
def founded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data directory after its first start; tests get copies."""
    folder = tmp_path_factory.mktemp("founded")
    database = Database(Settings(data=folder).database)
    database.upgrade()
    with database.system() as system:
        projects.create_first(system, KEY)
        register_bundled(system)
    database.close()
    return folder


@pytest.fixture
def settings(founded: Path, tmp_path: Path) -> Settings:
    return Settings(data=Path(shutil.copytree(founded, tmp_path / "data")), host_start_seconds=5)


@pytest.fixture
def database(settings: Settings) -> Iterator[Database]:
    opened = Database(settings.database)
    yield opened
    opened.close()


@pytest.fixture
def project(database: Database) -> str:
    with database.system(read=True) as system:
        return projects.every(system)[0].id


@pytest.fixture
def other_project(database: Database) -> str:
    with database.system() as system:
        first = projects.every(system)[0]
        return projects.create(system, first.organization_id, "Another").id


@pytest.fixture
def new_key(database: Database) -> Callable[..., str]:
    """A key of a project in a role, possibly revoked or expired."""

    def make(
        project_id: str, role: keys.Role = "owner", *, revoked: bool = False, expires_at: int | None = None
    ):
        secret = f"sk-{project_id[-4:]}-{role}-{revoked}-{expires_at}"
        with database.scope(project_id) as scope:
            key = keys.insert(scope, secret, name="test", role=role, expires_at=expires_at)
            if revoked:
                keys.insert(scope, secret + "-other", name="stays", role="owner")
                keys.revoke(scope, key.id)
        return secret

    return make


def bearer(secret: str) -> dict[str, str]:
    return {"authorization": f"Bearer {secret}"}


@pytest.fixture
def client(settings: Settings) -> Iterator[TestClient]:
    with TestClient(create_app(settings), headers=bearer(KEY), raise_server_exceptions=True) as opened:
        yield opened


@pytest.fixture(scope="module")
def refusing(founded: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    """One server for all bad inputs of a module, with one good file in it: they change nothing."""
    folder = Path(shutil.copytree(founded, tmp_path_factory.mktemp("refusing") / "data"))
    with TestClient(create_app(Settings(data=folder)), headers=bearer(KEY)) as opened:
        reply = opened.post(
            "/v1/files", files={"file": ("good.jsonl", ROW * 10)}, data={"purpose": "fine-tune"}
        )
        assert reply.status_code == 200
        yield opened


@pytest.fixture
def production(settings: Settings) -> Iterator[TestClient]:
    app = create_app(replace(settings, environment="production"))
    with TestClient(app, headers=bearer(KEY)) as opened:
        yield opened


@pytest.fixture
def upload(client: TestClient) -> Callable[..., dict]:
    """Upload bytes and return the file object."""

    def send(
        data: bytes = ROW * 10, name: str = "rows.jsonl", purpose: str = "fine-tune", **fields: str
    ) -> dict:
        reply = client.post("/v1/files", files={"file": (name, data)}, data={"purpose": purpose, **fields})
        assert reply.status_code == 200, reply.text
        return reply.json()

    return send


@pytest.fixture
def server(settings: Settings) -> Iterator[str]:
    """The base URL of a real server in a thread."""
    config = uvicorn.Config(
        create_app(settings),
        host="127.0.0.1",
        port=0,
        log_level="error",
        http="h11",
        timeout_graceful_shutdown=1,
    )
    running = uvicorn.Server(config)
    thread = threading.Thread(target=running.run)
    thread.start()
    while not running.started:
        assert thread.is_alive()
    port = running.servers[0].sockets[0].getsockname()[1]
    yield f"http://127.0.0.1:{port}"
    running.should_exit = True
    thread.join(10)


@pytest.fixture
def official(server: str) -> Iterator[openai.OpenAI]:
    """The pinned client, which here takes every reply strictly."""
    with openai.OpenAI(
        base_url=f"{server}/v1", api_key=KEY, max_retries=0, _strict_response_validation=True
    ) as opened:
        yield opened


class PlayedHost:
    """A host on a Unix socket that says `text` word by word, and can be told to fail."""

    def __init__(self) -> None:
        self.text = "One two three four."
        self.loaded: set[str] = set()
        self.asked: list[CompletionRequest] = []
        self.unloaded: list[str] = []
        self.deaths = 0  # how many replies break after their first word
        self.endless = False
        self.left = threading.Event()
        self.app = FastAPI()
        self.app.post("/v1/completions")(self.complete)
        self.app.post("/v1/load_lora_adapter")(self.load)
        self.app.post("/v1/unload_lora_adapter")(self.unload)

    async def load(self, order: LoadAdapter) -> dict[str, str]:
        assert (Path(order.lora_path) / "adapter_model.safetensors").is_file()
        self.loaded.add(order.lora_name)
        return {}

    async def unload(self, order: UnloadAdapter) -> dict[str, str]:
        self.unloaded.append(order.lora_name)
        return {}

    async def complete(self, request: CompletionRequest) -> Response:
        if request.model != "afina-tiny" and request.model not in self.loaded:
            return JSONResponse({"error": {"message": "not loaded"}}, 404)
        self.asked.append(request)
        words = self.text.replace(" ", " \0").split("\0")
        said = words[: request.max_tokens]
        reason = "length" if len(words) > request.max_tokens else "stop"
        counts = CompletionUsage(
            prompt_tokens=len(request.prompt),
            completion_tokens=len(said) * request.n,
            total_tokens=len(request.prompt) + len(said) * request.n,
        )
        if request.stream:
            return StreamingResponse(
                self.events(request, said, reason, counts), media_type="text/event-stream"
            )
        if self.deaths or self.endless:
            return StreamingResponse(self.broken() if self.deaths else self.waiting())
        choices = [
            CompletionChoice(index=i, text="".join(said), finish_reason=reason) for i in range(request.n)
        ]
        return JSONResponse(Completion(model=request.model, choices=choices, usage=counts).wire())

    async def broken(self) -> AsyncIterator[bytes]:
        self.deaths -= 1
        yield b'{"object": '
        raise ConnectionAbortedError

    async def waiting(self) -> AsyncIterator[bytes]:
        try:
            while self.endless:
                yield b" "
                await asyncio.sleep(0.01)
        except asyncio.CancelledError:
            self.left.set()
            raise

    async def events(
        self, request: CompletionRequest, said: list[str], reason: str, counts: CompletionUsage
    ) -> AsyncIterator[str]:
        def event(choices: list[CompletionChoice], usage: CompletionUsage | None = None) -> str:
            return (
                f"data: {Completion(model=request.model, choices=choices, usage=usage).model_dump_json()}\n\n"
            )

        try:
            yield event([])
            for place, word in enumerate(said):
                last = place == len(said) - 1
                for i in range(request.n):
                    yield event(
                        [CompletionChoice(index=i, text=word, finish_reason=reason if last else None)]
                    )
                if self.deaths:
                    self.deaths -= 1
                    raise ConnectionAbortedError
                while self.endless:
                    yield event([CompletionChoice(index=0, text="on and ")])
                    await asyncio.sleep(0.01)
            yield event([], counts)
            yield "data: [DONE]\n\n"
        except asyncio.CancelledError:
            self.left.set()
            raise


@pytest.fixture
def played(database: Database) -> Iterator[PlayedHost]:
    """A ready host of the bundled base."""
    host = PlayedHost()
    with tempfile.TemporaryDirectory() as folder:
        config = uvicorn.Config(
            host.app, uds=f"{folder}/host.sock", log_level="critical", timeout_graceful_shutdown=1
        )
        running = uvicorn.Server(config)
        thread = threading.Thread(target=running.run)
        thread.start()
        while not running.started:
            assert thread.is_alive()
        with database.system() as system:
            hosts.starting(system, "afina-tiny", "test")
            hosts.ready(system, "afina-tiny", "test", address=f"unix:{folder}/host.sock", pid=1)
        yield host
        host.endless = False
        running.should_exit = True
        thread.join(10)
