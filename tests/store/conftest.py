"""Each test of rows runs on SQLite and on a real PostgreSQL, which is started once and ended with the session."""

import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from sqlalchemy import create_engine, text
from sqlalchemy.exc import OperationalError

from afina import ids
from afina.schemas.batches import Batch
from afina.schemas.chat import CreateChatCompletion, TextFormat
from afina.schemas.chat_replies import AssistantReply, ChatChoice, ChatCompletion, ChatUsage
from afina.schemas.eval_runs import EvalRun
from afina.schemas.evals import Eval
from afina.schemas.files import FileObject
from afina.schemas.fine_tuning import FineTuningJob, SupervisedHyperparameters, SupervisedMethod
from afina.schemas.response_items import InputText, MessageItem, OutputText
from afina.schemas.response_replies import Cut, Response, StoredResponse
from afina.schemas.responses import TextConfig
from afina.schemas.stored_chats import StoredChat
from afina.schemas.uploads import Upload, UploadPart
from afina.store import (
    batches,
    clock,
    eval_runs,
    evals,
    files,
    jobs,
    price_tables,
    projects,
    response_tables,
    upload_tables,
    uploads,
    work,
)
from afina.store.database import Database
from afina.store.scope import Scope
from afina.store.tables import metadata

REGISTERED = (
    price_tables,
    response_tables,
    upload_tables,
)  # their tables are in `metadata` once they are imported
NewFile = Callable[..., FileObject]
NewJob = Callable[..., FineTuningJob]
NewChat = Callable[..., StoredChat]


def postgres_binaries() -> Path | None:
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/postgres"), key=lambda path: path.parts[4])
    if found:
        return found[-1].parent
    on_path = shutil.which("postgres")
    return Path(on_path).resolve().parent if on_path else None


@pytest.fixture(scope="session")
def postgres() -> Iterator[str]:
    """The URL of a server's databases, without the name of one; PostgreSQL refuses to run as root."""
    binaries = postgres_binaries()
    if binaries is None:
        pytest.skip("PostgreSQL is not installed")
    folder = tempfile.mkdtemp(prefix="afina-pg-")
    user = "postgres" if os.getuid() == 0 else None
    if user:
        shutil.chown(folder, user)
    initdb = [binaries / "initdb", "-D", f"{folder}/data", "-U", "afina", "--auth=trust", "--no-sync"]
    subprocess.run(initdb, check=True, user=user, cwd=folder, capture_output=True)
    server = subprocess.Popen(
        [
            binaries / "postgres",
            "-D",
            f"{folder}/data",
            "-k",
            folder,
            "-c",
            "listen_addresses=",
            "-c",
            "fsync=off",
        ],
        user=user,
        cwd=folder,
        stderr=subprocess.DEVNULL,
    )
    try:
        yield await_server(f"postgresql+psycopg://afina@/{{}}?host={folder}", server)
    finally:
        server.send_signal(2)
        server.wait(timeout=30)
        shutil.rmtree(folder)


def await_server(url: str, server: subprocess.Popen[bytes]) -> str:
    engine = create_engine(url.format("postgres"))
    deadline = time.monotonic() + 60
    while server.poll() is None and time.monotonic() < deadline:
        try:
            engine.connect().close()
            return url
        except OperationalError:
            time.sleep(0.05)
    raise RuntimeError("PostgreSQL did not start")


def on_server(url: str, statement: str) -> None:
    engine = create_engine(url.format("postgres"), isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(text(statement))
    engine.dispose()


@pytest.fixture(scope="session")
def postgres_url(postgres: str) -> str:
    """One migrated database for all tests: emptying it is quicker than making another."""
    on_server(postgres, "CREATE DATABASE afina")
    database = Database(postgres.format("afina"))
    database.upgrade()
    database.close()
    return postgres.format("afina")


@pytest.fixture(scope="session")
def sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("sqlite") / "template.db"
    database = Database(f"sqlite:///{file}")
    database.upgrade()
    database.close()
    return file


@pytest.fixture(params=["sqlite", "postgresql"])
def backend(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture
def empty_url(backend: str, request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """The URL of a database without tables."""
    if backend == "sqlite":
        yield f"sqlite:///{tmp_path / 'empty.db'}"
        return
    server: str = request.getfixturevalue("postgres")
    name = f"empty_{ids.random_text(8).lower()}"
    on_server(server, f"CREATE DATABASE {name}")
    yield server.format(name)
    on_server(server, f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
def url(backend: str, request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """The URL of a migrated database."""
    if backend == "sqlite":
        shutil.copy(request.getfixturevalue("sqlite_template"), tmp_path / "afina.db")
        yield f"sqlite:///{tmp_path / 'afina.db'}"
        return
    url: str = request.getfixturevalue("postgres_url")
    yield url
    on_server(url, f"TRUNCATE {', '.join(metadata.tables)} RESTART IDENTITY")


@pytest.fixture
def database(url: str) -> Iterator[Database]:
    opened = Database(url)
    with opened.system() as system:
        projects.create_first(system, "sk-first")
    yield opened
    opened.close()


@pytest.fixture
def project(database: Database) -> str:
    with database.system() as system:
        return projects.every(system)[0].id


@pytest.fixture
def other(database: Database, project: str) -> str:
    """A second project, which must never see what the first one has."""
    with database.system() as system:
        return projects.create(system, projects.every(system)[0].organization_id, "Other").id


@pytest.fixture
def new_file() -> NewFile:
    def make(scope: Scope, **fields: object) -> FileObject:
        given = {
            "id": ids.file_id(),
            "bytes": 3,
            "created_at": 1,
            "filename": "a.jsonl",
            "purpose": "fine-tune",
        }
        return files.insert(scope, FileObject.model_validate(given | fields))

    return make


@pytest.fixture
def new_upload() -> Callable[[Scope], UploadPart]:
    """An upload of three bytes, which have arrived."""

    def make(scope: Scope) -> UploadPart:
        now = clock.seconds(scope)
        upload = Upload(
            id=ids.prefixed("upload_"),
            bytes=3,
            created_at=now,
            expires_at=now + 3600,
            filename="a",
            purpose="assistants",
        )
        uploads.insert(scope, upload)
        part = UploadPart(id=ids.prefixed("part_"), created_at=now, upload_id=upload.id, bytes=3)
        return uploads.insert_part(scope, part)

    return make


@pytest.fixture
def new_batch(new_file: NewFile) -> Callable[[Scope], Batch]:
    """A batch in the queue, as the API creates it."""

    def make(scope: Scope) -> Batch:
        now = clock.seconds(scope)
        batch = Batch(
            id=ids.prefixed("batch_"),
            endpoint="/v1/responses",
            input_file_id=new_file(scope, purpose="batch").id,
            created_at=now,
            expires_at=now + 3600,
        )
        return batches.insert(scope, batch)

    return make


@pytest.fixture
def new_eval() -> Callable[..., Eval]:
    """An eval with one criterion."""

    def make(scope: Scope, **fields: object) -> Eval:
        check = {"type": "string_check", "name": "same", "input": "a", "reference": "b", "operation": "eq"}
        given = {
            "id": ids.prefixed("eval_"),
            "created_at": 1,
            "name": "Untitled",
            "data_source_config": {"type": "custom", "schema": {"properties": {"item": {}}}},
            "testing_criteria": [check],
        }
        return evals.insert(scope, Eval.model_validate(given | fields))

    return make


@pytest.fixture
def new_run() -> Callable[..., EvalRun]:
    """A run of an eval, in the queue."""

    def make(scope: Scope, eval: Eval, **fields: object) -> EvalRun:
        content = {"type": "file_content", "content": [{"item": {"a": "\0"}}]}
        given = {
            "id": ids.prefixed("evalrun_"),
            "eval_id": eval.id,
            "created_at": 1,
            "name": "r",
            "data_source": {"type": "jsonl", "source": content},
            "per_testing_criteria_results": [{"testing_criteria": "same"}],
        }
        return eval_runs.insert(scope, EvalRun.model_validate(given | fields))

    return make


@pytest.fixture
def new_job(new_file: NewFile) -> NewJob:
    """A job in the queue, as the API creates it."""

    def make(scope: Scope, **fields: object) -> FineTuningJob:
        job = FineTuningJob(
            id=ids.job_id(),
            created_at=1,
            model="afina-tiny",
            organization_id=scope.organization_id,
            status="validating_files",
            training_file=str(fields.get("training_file") or new_file(scope).id),
            seed=1,
            hyperparameters=SupervisedHyperparameters(),
            method=SupervisedMethod(type="supervised"),
        )
        job = jobs.insert(scope, job.model_copy(update=fields))
        work.enqueue(scope, job.id, "validate")
        return job

    return make


@pytest.fixture
def new_chat() -> NewChat:
    """A chat as a request and a reply make it."""

    def make(identifier: str, **fields: object) -> StoredChat:
        asked = {"model": "afina-tiny", "messages": [{"role": "user", "content": "Hi \0 ñ"}], **fields}
        reply = ChatCompletion(
            id=identifier,
            created=1,
            model=str(asked["model"]),
            choices=[ChatChoice(index=0, message=AssistantReply(content="Hello \0"), finish_reason="stop")],
            usage=ChatUsage(prompt_tokens=1, completion_tokens=2, total_tokens=3),
            system_fingerprint="fp_1",
        )
        return StoredChat.of(CreateChatCompletion.model_validate(asked), reply)

    return make


def response(name: str, *, after: str | None = None, status: str = "completed") -> StoredResponse:
    """A response in the background, behind another one."""
    said = OutputText(text=f"{name} says \0 \U0001f600")
    reply = MessageItem(id=f"msg_{name}", status="completed", role="assistant", content=[said])
    asked = MessageItem(
        id=f"in_{name}", status="completed", role="user", content=[InputText(text=f"to {name}")]
    )
    text = TextConfig(format=TextFormat(type="text"))
    response = Response.model_validate(
        {
            "id": name,
            "created_at": 1,
            "status": status,
            "model": "m",
            "text": text,
            "output": [reply],
            "background": True,
        }
    )
    return StoredResponse(
        response=response, input=[asked], previous_response_id=after, cuts=[Cut(text=3), Cut()]
    )


@pytest.fixture(name="stored")
def stored_fixture() -> Callable[..., StoredResponse]:
    """Responses by their ids."""
    return response
