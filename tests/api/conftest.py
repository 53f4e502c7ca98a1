"""A founded data directory for each test, the application over it, and the official client against a real server."""

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import openai
import pytest
import uvicorn
from fastapi.testclient import TestClient
from sqlalchemy import text

import tiny_base
from afina import ids
from afina.api.app import create_app
from afina.blobs import Blobs
from afina.schemas.files import FileObject
from afina.schemas.fine_tuning import FineTuningJob, SupervisedHyperparameters, SupervisedMethod
from afina.schemas.models import Manifest, Model
from afina.serving.registry import register_bundled
from afina.settings import Settings
from afina.store import files, hosts, jobs, keys, models, projects, usage
from afina.store.database import Database
from afina.store.scope import Scope
from afina.store.usage import Used
from played_host import PlayedHost

KEY = "sk-owner"
TUNED = "ft:afina-tiny:personal::abcd1234"
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
def tuned(settings: Settings, database: Database, project: str) -> Model:
    """A published model with its files and manifest."""
    blobs = Blobs(settings.data / "blobs")
    written = blobs.write("models/k1/adapter_model.safetensors", [b"weights"])
    manifest = Manifest(
        model=TUNED,
        base="afina-tiny",
        base_sha256="",
        job="ftjob-1",
        files={"adapter_model.safetensors": written.sha256},
        training_file_sha256="",
        validation_file_sha256=None,
        seed=1,
        spec={},
        versions={},
    )
    text = manifest.model_dump_json().encode()
    blobs.write("models/k1/manifest.json", [text])
    model = Model(
        id=TUNED,
        created=1,
        owned_by="personal",
        kind="tuned",
        base="afina-tiny",
        key="k1",
        manifest_sha256=hashlib.sha256(text).hexdigest(),
    )
    with database.scope(project) as scope:
        return models.insert(scope, model)


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


@pytest.fixture
def loose(server: str) -> Iterator[openai.OpenAI]:
    """The pinned client as people run it: OpenAI's own replies are not always what its types say."""
    with openai.OpenAI(base_url=f"{server}/v1", api_key=KEY, max_retries=0) as opened:
        yield opened


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


@pytest.fixture(scope="session")
def random_address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A host whose weights are random, speaking the bundled base's language."""
    source = tiny_base.make(tmp_path_factory.mktemp("random"))
    with tempfile.TemporaryDirectory(prefix="afina-") as folder:
        command = [sys.executable, "-m", "afina.host", "--base", "afina-tiny", "--source", str(source)]
        command += ["--socket", f"{folder}/host.sock", "--threads", "1", "--parent", str(os.getpid())]
        process = subprocess.Popen(command, env={**os.environ, "OMP_NUM_THREADS": "1"})
        while not Path(f"{folder}/host.sock").exists():
            assert process.poll() is None
            time.sleep(0.05)
        yield f"unix:{folder}/host.sock"
        process.terminate()
        process.wait(30)


@pytest.fixture
def random_weights(database: Database, random_address: str, official: openai.OpenAI) -> openai.OpenAI:
    """The official client before such a host."""
    with database.system() as system:
        hosts.starting(system, "afina-tiny", "test")
        hosts.ready(system, "afina-tiny", "test", address=random_address, pid=1)
    return official


@pytest.fixture
def admin(server: str) -> Iterator[openai.OpenAI]:
    """The owner of the first project, as an administrator."""
    with openai.OpenAI(
        base_url=f"{server}/v1",
        api_key=KEY,
        admin_api_key=KEY,
        max_retries=0,
        _strict_response_validation=True,
    ) as opened:
        yield opened


@pytest.fixture
def planted(database, project, other_project) -> None:
    """Rows at known times: days 0, 0, 1 and 3 of a week long ago."""
    rows = [
        (10, Used(project, "completions", "m", 5, 7, 2, api_key_id="key_a")),
        (86_399, Used(other_project, "completions", "n", 50, 70, batch=True)),
        (86_400, Used(project, "completions", "m", 1, 2)),
        (3 * 86_400, Used(project, "embeddings", "e", 9)),
        (3 * 86_400, Used(project, "training", "m", 1000)),
    ]
    with database.system() as system:
        for at, row in rows:
            usage.record(system, [row])
            system.connection.execute(
                text("UPDATE usage SET at = :at WHERE seq = (SELECT max(seq) FROM usage)"), {"at": at}
            )


@pytest.fixture
def new_job() -> Callable[..., FineTuningJob]:
    """A job with its file, as rows alone: nobody works on it."""

    def make(scope: Scope, **fields: object) -> FineTuningJob:
        file = FileObject(id=ids.file_id(), bytes=1, created_at=1, filename="a.jsonl", purpose="fine-tune")
        files.insert(scope, file)
        given = {
            "id": ids.job_id(),
            "created_at": 1,
            "model": "afina-tiny",
            "organization_id": scope.organization_id,
            "status": "validating_files",
            "training_file": file.id,
            "seed": 1,
            "hyperparameters": SupervisedHyperparameters(),
            "method": SupervisedMethod(type="supervised"),
        }
        return jobs.insert(scope, FineTuningJob.model_validate(given | fields))

    return make


@pytest.fixture
def create(client: TestClient, upload: Callable[..., dict]) -> Callable[..., dict]:
    """Create a job on a new file and return it."""

    def make(**fields: object) -> dict:
        body = {"model": "afina-tiny", "training_file": upload()["id"], **fields}
        reply = client.post("/v1/fine_tuning/jobs", json=body)
        assert reply.status_code == 200, reply.text
        return reply.json()

    return make
