"""A small server in a thread that answers as the API does, and the command line run against it."""

import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import pytest
import uvicorn
from fastapi import FastAPI, Request, Response
from fastapi.responses import JSONResponse, StreamingResponse

from afina.api.app import create_app
from afina.cli import main
from afina.settings import Settings

KEY = "sk-test"


@dataclass
class Played:
    """What the server has, and what it was asked."""

    url: str = ""
    files: dict[str, dict] = field(default_factory=dict)
    contents: dict[str, bytes] = field(default_factory=dict)
    jobs: dict[str, dict] = field(default_factory=dict)
    events: list[dict] = field(default_factory=list)
    bodies: list[dict] = field(default_factory=list)
    estimate: dict = field(default_factory=dict)
    headers: list[dict] = field(default_factory=list)
    chats: list[dict] = field(default_factory=list)
    queries: list[dict] = field(default_factory=list)
    on_look: Callable[["Played"], None] = lambda played: None


def event_object(number: int, message: str, data: dict | None = None) -> dict:
    return {
        "id": f"ftevent-{number}",
        "object": "fine_tuning.job.event",
        "created_at": 1_800_000_000 + number,
        "level": "info",
        "message": message,
        "type": "metrics" if data else "message",
        "data": data,
    }


def job_object(**changes) -> dict:
    return {
        "id": "ftjob-1",
        "object": "fine_tuning.job",
        "created_at": 1_800_000_000,
        "finished_at": None,
        "estimated_finish": None,
        "model": "afina-tiny",
        "fine_tuned_model": None,
        "organization_id": "org-1",
        "status": "running",
        "training_file": "file-1",
        "validation_file": None,
        "result_files": [],
        "trained_tokens": None,
        "seed": 7,
        "error": None,
        "hyperparameters": {"n_epochs": 2, "batch_size": 4, "learning_rate_multiplier": 1.0},
        "method": {"type": "supervised"},
        **changes,
    }


def refused(status: int, message: str, *, param: str | None = None, code: str | None = None) -> JSONResponse:
    body = {"error": {"message": message, "type": "invalid_request_error", "param": param, "code": code}}
    return JSONResponse(body, status, headers={"x-request-id": "req_1", "x-should-retry": "false"})


def listed(items: list[dict]) -> dict:
    return {"object": "list", "data": items, "has_more": False}


def application(played: Played) -> FastAPI:
    app = FastAPI()

    @app.middleware("http")
    async def authenticate(request: Request, call_next):
        if request.headers.get("authorization") != f"Bearer {KEY}":
            return refused(401, "Incorrect API key provided.", code="invalid_api_key")
        played.headers.append(dict(request.headers))
        return await call_next(request)

    add_files(app, played)
    add_jobs(app, played)
    add_moves(app, played)
    add_models(app, played)
    add_chats(app, played)
    return app


def add_files(app: FastAPI, played: Played) -> None:
    @app.post("/v1/files")
    async def create(request: Request):
        form = await request.form()
        content = await form["file"].read()
        number = f"file-{len(played.files) + 1}"
        played.contents[number] = content
        played.files[number] = {
            "id": number,
            "object": "file",
            "bytes": len(content),
            "created_at": 1_800_000_000,
            "filename": form["file"].filename,
            "purpose": form["purpose"],
            "status": "processed",
        }
        return played.files[number]

    @app.get("/v1/files")
    def page():
        return listed(list(played.files.values())[::-1])

    @app.get("/v1/files/{name}")
    def get(name: str):
        return played.files.get(name) or refused(404, f"No such File object: {name}", param="id")

    @app.get("/v1/files/{name}/content")
    def content(name: str):
        if name not in played.contents:
            return refused(404, f"No such File object: {name}", param="id")
        return Response(played.contents[name], media_type="application/octet-stream")

    @app.delete("/v1/files/{name}")
    def delete(name: str):
        del played.files[name]
        return {"id": name, "object": "file", "deleted": True}


def add_jobs(app: FastAPI, played: Played) -> None:
    @app.post("/v1/fine_tuning/jobs")
    async def create(request: Request):
        played.bodies.append(await request.json())
        played.jobs["ftjob-1"] = job_object(training_file=played.bodies[-1]["training_file"])
        return played.jobs["ftjob-1"]

    @app.post("/v1/afina/estimates")
    async def estimate(request: Request):
        played.bodies.append(await request.json())
        if played.bodies[-1]["training_file"] == "file-bad":
            return refused(400, "Example 3 is wrong", param="training_file", code="invalid_training_file")
        return played.estimate

    @app.get("/v1/fine_tuning/jobs")
    def page():
        return listed(list(played.jobs.values()))

    @app.get("/v1/fine_tuning/jobs/{name}")
    def get(name: str):
        played.on_look(played)
        return played.jobs.get(name) or refused(404, f"Could not find fine tune: {name}")

    @app.get("/v1/fine_tuning/jobs/{name}/events")
    def events(name: str, limit: int = 20, after: str = ""):
        newest = played.events[::-1]
        start = next((i + 1 for i, e in enumerate(newest) if e["id"] == after), 0)
        shown = newest[start : start + limit]
        return {**listed(shown), "has_more": start + limit < len(newest)}


def add_moves(app: FastAPI, played: Played) -> None:
    @app.post("/v1/fine_tuning/jobs/{name}/cancel")
    def cancel(name: str):
        if played.jobs[name]["status"] == "succeeded":
            return refused(400, "Job has already completed", code="invalid_state")
        return job_object(status="cancelled")

    @app.post("/v1/fine_tuning/jobs/{name}/pause")
    def pause(name: str):
        return job_object(status="paused")

    @app.post("/v1/fine_tuning/jobs/{name}/resume")
    def resume(name: str):
        return job_object(status="queued")


def add_models(app: FastAPI, played: Played) -> None:
    @app.get("/v1/models")
    def page():
        return listed([{"id": "afina-tiny", "object": "model", "created": 1, "owned_by": "afina"}])

    @app.delete("/v1/models/{name}")
    def delete(name: str):
        return {"id": name, "object": "model", "deleted": True}

    @app.post("/v1/chat/completions")
    async def chat(request: Request):
        body = await request.json()
        played.bodies.append(body)
        if body["model"] == "nothere":
            return refused(404, "The model 'nothere' does not exist", code="model_not_found")
        if body["messages"][-1]["content"] == "too long":
            return refused(400, "This model's maximum context length is 3", code="context_length_exceeded")
        headers = {"x-afina-warning": "the tiny base answers"}
        if body.get("stream"):
            return StreamingResponse(chunks(body["model"]), media_type="text/event-stream", headers=headers)
        return JSONResponse(completion("message", {"role": "assistant", "content": "Hello"}), headers=headers)


def add_chats(app: FastAPI, played: Played) -> None:
    @app.get("/v1/chat/completions")
    def page(request: Request):
        played.queries.append(dict(request.query_params))
        return listed(played.chats)

    @app.delete("/v1/chat/completions/{name}")
    def delete(name: str):
        played.chats = [chat for chat in played.chats if chat["id"] != name]
        return {"id": name, "object": "chat.completion.deleted", "deleted": True}

    @app.post("/v1/afina/chat_exports")
    async def export(request: Request):
        played.bodies.append(await request.json())
        if played.bodies[-1].get("model") == "nobody":
            return refused(400, "No stored chat is an example.", code="no_examples")
        left_out = {"cut_short": 1, "unfit": 0}
        file = {"id": "file-9", "bytes": 2048}
        return {"object": "afina.chat_export", "file": file, "examples": 12, "left_out": left_out}


def completion(field_name: str, value: dict) -> dict:
    kind = "chat.completion" if field_name == "message" else "chat.completion.chunk"
    choice = {"index": 0, field_name: value, "finish_reason": None if field_name == "delta" else "stop"}
    return {"id": "chatcmpl-1", "object": kind, "created": 1, "model": "m", "choices": [choice]}


def chunks(model: str) -> Iterator[str]:
    from json import dumps

    for word in ("Hel", "lo"):
        yield f"data: {dumps(completion('delta', {'content': word}))}\n\n"
    if model == "breaks":
        yield 'data: {"error": {"message": "the host ended", "code": "server_error", "param": null}}\n\n'
    yield "data: [DONE]\n\n"


@pytest.fixture
def job() -> Callable[..., dict]:
    return job_object


@pytest.fixture
def event() -> Callable[..., dict]:
    return event_object


@pytest.fixture
def played() -> Iterator[Played]:
    state = Played()
    config = uvicorn.Config(application(state), host="127.0.0.1", port=0, log_level="warning")
    server = uvicorn.Server(config)
    started = threading.Event()
    server.install_signal_handlers = lambda: None
    thread = threading.Thread(target=serve, args=(server, started))
    thread.start()
    assert started.wait(10)
    state.url = f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}/v1"
    yield state
    server.should_exit = True
    thread.join()


def serve(server: uvicorn.Server, started: threading.Event) -> None:
    startup = server.startup

    async def and_tell(sockets=None):
        await startup(sockets)
        started.set()

    server.startup = and_tell
    server.run()


@dataclass(frozen=True)
class Ran:
    code: int
    out: str
    err: str


@pytest.fixture
def afina(played, command, monkeypatch) -> Callable[..., Ran]:
    """The command line, with the played server as its server."""
    monkeypatch.setenv("OPENAI_BASE_URL", played.url)
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    monkeypatch.setattr("afina.cli.follow.time.sleep", lambda seconds: None)
    return command


@pytest.fixture
def command(monkeypatch, capfdbinary) -> Callable[..., Ran]:
    """The command line, in this process."""

    def run(*words: str) -> Ran:
        monkeypatch.setattr("sys.argv", ["afina", *words])
        code = 0
        try:
            main()
        except SystemExit as leaving:
            code = leaving.code or 0
        said = capfdbinary.readouterr()
        return Ran(code, said.out.decode(), said.err.decode())

    return run


@pytest.fixture
def serve_api(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[Settings, str], None]]:
    """Starts the real API in a thread, and points the command line at it."""
    started: list[tuple[uvicorn.Server, threading.Thread]] = []

    def start(settings: Settings, key: str) -> None:
        config = uvicorn.Config(create_app(settings), host="127.0.0.1", port=0, log_level="error")
        server = uvicorn.Server(config)
        thread = threading.Thread(target=server.run)
        started.append((server, thread))
        thread.start()
        while not server.started:
            assert thread.is_alive()
        port = server.servers[0].sockets[0].getsockname()[1]
        monkeypatch.setenv("OPENAI_BASE_URL", f"http://127.0.0.1:{port}/v1")
        monkeypatch.setenv("OPENAI_API_KEY", key)

    yield start
    for server, thread in started:
        server.should_exit = True
        thread.join(10)
