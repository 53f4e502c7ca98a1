"""A worker's rooms over SQLite in a folder of the test's own, with hosts that are threads instead of processes.

The hosts are the real application behind a real socket; their engine is the fake one unless a test asks for the real.
"""

import asyncio
import json
import shutil
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from sqlalchemy import text

import tiny_base
from afina import ids
from afina.blobs import Blobs
from afina.engine.engine import Engine
from afina.engine.fake import FakeEngine
from afina.host import app as host_app
from afina.schemas.files import FileObject
from afina.schemas.fine_tuning import FineTuningJob, SupervisedHyperparameters, SupervisedMethod
from afina.schemas.models import Model
from afina.serving.adapters import Adapters
from afina.settings import Settings
from afina.store import events, files, jobs, models, moves, projects, work
from afina.store.database import Database
from afina.store.events import NewEvent
from afina.store.work import Claim
from afina.worker import loop, tend, train, validate
from afina.worker.__main__ import kinds
from afina.worker.context import Context, Hold
from afina.worker.executors.local import LocalHost
from afina.worker.hosts import Hosts
from afina.worker.loop import Loop
from host_threads import ThreadExecutor

QUICKLY = 0.01


@pytest.fixture(scope="session")
def founded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data directory with tables and a project, made once and copied for each test."""
    folder = tmp_path_factory.mktemp("founded")
    database = Database(Settings(data=folder).database)
    database.upgrade()
    with database.system() as system:
        projects.create_first(system, "sk-first")
    database.close()
    return folder


@pytest.fixture(scope="session")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_base.make(tmp_path_factory.mktemp("base"))


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    """Everything that looks again after a while looks again at once."""
    for module, name in ((loop, "TICK_SECONDS"), (train, "LOOK_SECONDS")):
        monkeypatch.setattr(module, name, QUICKLY)
        monkeypatch.setattr(module, "TROUBLE_SECONDS", QUICKLY)


@dataclass
class Rooms:
    """A data directory, its project, and what tests do in it."""

    settings: Settings
    database: Database
    blobs: Blobs
    project: str

    def upload(self, content: bytes) -> FileObject:
        id = ids.file_id()
        written = self.blobs.write(f"files/{id}", [content])
        file = FileObject(
            id=id,
            bytes=written.bytes,
            created_at=1,
            filename="a.jsonl",
            purpose="fine-tune",
            sha256=written.sha256,
        )
        with self.database.scope(self.project) as scope:
            return files.insert(scope, file)

    def submit(self, content: bytes | None = None, **fields: object) -> FineTuningJob:
        """A job as the API makes it; hyperparameters may be named beside its fields."""
        names = set(SupervisedHyperparameters.model_fields) & set(fields)
        numbers = SupervisedHyperparameters.model_validate({name: fields.pop(name) for name in names})
        given = {
            "id": ids.job_id(),
            "created_at": 1,
            "model": "tiny",
            "organization_id": "org-a",
            "status": "validating_files",
            "training_file": self.upload(chats(10) if content is None else content).id,
            "seed": 3,
            "hyperparameters": numbers,
            "method": SupervisedMethod.model_validate(
                {"type": "supervised", "supervised": {"hyperparameters": numbers}}
            ),
            "afina": {"adapter": {"rank": 2, "alpha": 4.0}},
        }
        with self.database.scope(self.project) as scope:
            job = jobs.insert(scope, FineTuningJob.model_validate(given | fields))
            events.append(scope, job.id, [NewEvent(f"Created fine-tuning job: {job.id}")], fence=None)
            work.enqueue(scope, job.id, "validate")
            return job

    def job(self, id: str) -> FineTuningJob:
        with self.database.read(self.project) as scope:
            return jobs.get(scope, id)

    def said(self, id: str, type: str = "message") -> list[str]:
        """A job's messages, oldest first."""
        with self.database.read(self.project) as scope:
            found = events.page(scope, id, limit=10_000).data
        return [event.message for event in reversed(found) if event.type == type]

    def steps(self, id: str) -> list[int]:
        """The steps that have figures, in the order in which they came."""
        with self.database.read(self.project) as scope:
            found = events.page(scope, id, limit=10_000).data
        return [event.data["step"] for event in reversed(found) if event.type == "metrics" and event.data]

    def cancel(self, id: str) -> None:
        with self.database.scope(self.project) as scope:
            moves.move(scope, id, "cancelled", fence=None, event="The job has been cancelled", actor="key")

    def pause(self, id: str) -> None:
        with self.database.scope(self.project) as scope:
            jobs.want(scope, jobs.get(scope, id, hold=True), "paused")

    def resume(self, id: str) -> None:
        with self.database.scope(self.project) as scope:
            moves.move(scope, id, "queued", fence=None, event="resumed", actor="key")

    def claim(self, kind: str = "validate", owner: str = "test", lease_seconds: float = 600) -> Claim | None:
        with self.database.system() as system:
            return work.claim(system, owner, [kind], lease_seconds=lease_seconds)

    def attempts(self, id: str) -> int | None:
        """How many attempts a piece of work has failed; None where it is not in the queue."""
        query = text("SELECT attempts FROM work WHERE subject = :id")
        with self.database.system(read=True) as system:
            return system.connection.execute(query, {"id": id}).scalar_one_or_none()

    def at_once(self) -> None:
        """As if the pauses between attempts were over."""
        with self.database.system() as system:
            system.connection.execute(text("UPDATE work SET run_after = 0"))

    def expire(self, id: str) -> None:
        """As if a lease's time had passed."""
        with self.database.system() as system:
            late = text("UPDATE work SET lease_until = lease_until - 7200 WHERE subject = :id")
            assert system.connection.execute(late, {"id": id}).rowcount == 1

    def steal(self, id: str) -> Claim:
        """As if a lease's time had passed and another worker had been the first to see it."""
        late = text("UPDATE work SET lease_until = lease_until - 7200 WHERE subject = :id")
        with self.database.system() as system:
            system.connection.execute(late, {"id": id})
            claim = work.claim(system, "successor", ["train"], lease_seconds=600)
        assert claim is not None and claim.subject == id
        return claim

    def model(self, name: str | None) -> Model:
        assert name is not None
        with self.database.read(self.project) as scope:
            return models.get(scope, name)

    def weights(self, name: str | None) -> bytes:
        return self.blobs.path(f"{self.model(name).folder}/adapter_model.safetensors").read_bytes()


@pytest.fixture
def rooms(founded: Path, base: Path, tmp_path: Path) -> Iterator[Rooms]:
    """One project, and the tiny base under the name `tiny`."""
    data = Path(shutil.copytree(founded, tmp_path / "data"))
    settings = Settings(data=data, threads=1, lease_seconds=30, host_start_seconds=60)
    database = Database(settings.database)
    with database.system() as system:
        model = Model(id="tiny", created=1, owned_by="us", kind="base", base="tiny", source=str(base))
        models.register(system, model)
        project = projects.every(system)[0].id
    yield Rooms(settings, database, Blobs(data / "blobs"), project)
    database.close()


def chats(count: int, start: int = 0) -> bytes:
    """So many small conversations, one JSON object a line."""
    return b"".join(
        json.dumps(
            {
                "messages": [
                    {"role": "user", "content": f"What is {n} plus {n}?"},
                    {"role": "assistant", "content": f"It is {2 * n}."},
                ]
            }
        ).encode()
        + b"\n"
        for n in range(start, start + count)
    )


@pytest.fixture(name="chats")
def chats_fixture() -> Callable[..., bytes]:
    return chats


@dataclass
class Gate:
    """Holds all runs at a step, behind which they wait until they are let go; or ends their host there."""

    closed_from: float = float("inf")
    fatal: dict[str, int] = field(default_factory=dict)

    async def passed(self, adapter: str, step: int, dropped: Callable[[], bool]) -> None:
        if step >= self.fatal.get(adapter.partition(".")[0], 1 << 40):
            asyncio.get_running_loop().stop()  # the host ends where it stands
            await asyncio.Event().wait()
        while step >= self.closed_from and not dropped():
            await asyncio.sleep(QUICKLY / 2)

    def open(self) -> None:
        self.closed_from = float("inf")


@pytest.fixture
def gate(monkeypatch: pytest.MonkeyPatch) -> Gate:
    made = Gate()
    for kind in (Engine, FakeEngine):

        async def held(self, adapter, params, original=kind.optim_step):  # type: ignore[no-untyped-def]
            report = await original(self, adapter, params)
            await made.passed(adapter, report.step, lambda: adapter not in self.adapters)
            return report

        monkeypatch.setattr(kind, "optim_step", held)
    return made


@pytest.fixture
def hosts() -> Iterator[list[LocalHost]]:
    """All hosts that were started, the first one first."""
    started: list[LocalHost] = []
    yield started
    for host in started:
        host.process.kill()
        host.process.wait(30)


@pytest.fixture
def new_executor(hosts: list[LocalHost]) -> Iterator[Callable[[], ThreadExecutor]]:
    with tempfile.TemporaryDirectory(prefix="afina-") as sockets:
        yield lambda: ThreadExecutor(Path(sockets), hosts)


@pytest.fixture
def fake_engine(monkeypatch: pytest.MonkeyPatch) -> None:
    async def opened(*arguments: object, **options: object) -> FakeEngine:
        return FakeEngine()

    monkeypatch.setattr(host_app.Engine, "open", opened)


@dataclass
class Worker:
    """One worker in a thread; leaving its block drains it."""

    context: Context
    loop: Loop
    thread: threading.Thread | None = None

    def __enter__(self) -> "Worker":
        self.thread = threading.Thread(
            target=self.loop.run, args=(tend.between_claims(self.context),), name=self.loop.owner
        )
        self.thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.drain()
        self.context.hosts.close()
        for thread in threading.enumerate():
            if thread.name.startswith("tend-"):  # a host that somebody wanted at the last moment
                thread.join(60)

    def drain(self) -> None:
        self.context.draining.set()
        assert self.thread is not None
        self.thread.join(60)
        assert not self.thread.is_alive()


@pytest.fixture
def new_worker(rooms: Rooms, new_executor: Callable[[], ThreadExecutor]) -> Callable[..., Worker]:
    def make(owner: str = "worker-1") -> Worker:
        hosts = Hosts(rooms.settings, rooms.database, new_executor(), owner)
        adapters = Adapters(rooms.blobs)
        context = Context(rooms.settings, rooms.database, rooms.blobs, adapters, hosts, threading.Event())
        return Worker(context, Loop(context, kinds(rooms.settings), owner))

    return make


@pytest.fixture
def context(new_worker: Callable[..., Worker]) -> Context:
    """The rooms of a worker that does not run."""
    return new_worker().context


@pytest.fixture
def validated(rooms: Rooms, context: Context) -> Callable[..., FineTuningJob]:
    """A job behind its validation, which is done here and now."""

    def make(content: bytes | None = None, **fields: object) -> FineTuningJob:
        job = rooms.submit(content, **fields)
        claim = rooms.claim()
        assert claim is not None and claim.subject == job.id
        validate.validate(context, Hold(claim))
        return rooms.job(job.id)

    return make


def until(condition: Callable[[], object], seconds: float = 60) -> None:
    """Wait for something that others bring about."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not come to that"
        time.sleep(QUICKLY)


@pytest.fixture(name="until")
def until_fixture() -> Callable[..., None]:
    return until
