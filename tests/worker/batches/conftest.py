"""Batches before a worker, and an endpoint that answers them as a test says."""

import asyncio
import json
import threading
from collections.abc import Callable
from dataclasses import dataclass, field

import pytest

from afina import ids
from afina.schemas.batches import WINDOW_SECONDS, Batch
from afina.schemas.completions import CompletionUsage
from afina.schemas.files import FileObject
from afina.schemas.record import Record
from afina.serving import endpoints
from afina.store import batches, clock, files
from afina.worker import batches as batch_work
from afina.worker import crew
from afina.worker.context import Context, Hold
from batch_lines import URL


class Said(Record):
    """What the endpoint of these tests replies."""

    text: str
    usage: CompletionUsage = CompletionUsage(prompt_tokens=3, completion_tokens=2, total_tokens=5)


@dataclass
class Endpoint:
    """Answers with the text that it was sent; some texts are refused, and those from `closed_from` on wait."""

    asked: list[str] = field(default_factory=list)
    closed_from: int = 1 << 40
    open: threading.Event = field(default_factory=threading.Event)
    errors: dict[str, list[Exception]] = field(default_factory=dict)
    at_once: int = 0
    most_at_once: int = 0

    async def answer(self, router: object, project_id: str, body: dict[str, object]) -> Record:
        said = str(body["text"])
        self.asked.append(said)
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        try:
            while len(self.asked) > self.closed_from and not self.open.is_set():
                await asyncio.sleep(0.01)
            await asyncio.sleep(0)
            if left := self.errors.get(said):
                raise left.pop()
        finally:
            self.at_once -= 1
        return Said(text=said)


@pytest.fixture
def endpoint(monkeypatch: pytest.MonkeyPatch) -> Endpoint:
    made = Endpoint()
    monkeypatch.setitem(endpoints.ENDPOINTS, URL, made.answer)
    monkeypatch.setattr(crew, "LOOK_SECONDS", 0.02)
    return made


@pytest.fixture
def submit(rooms) -> Callable[..., Batch]:
    """A batch as the API makes it."""

    def make(content: bytes, **fields: object) -> Batch:
        id = ids.file_id()
        written = rooms.blobs.write(f"files/{id}", [content])
        with rooms.database.scope(rooms.project) as scope:
            file = FileObject(
                id=id,
                bytes=written.bytes,
                created_at=1,
                filename="in.jsonl",
                purpose="batch",
                sha256=written.sha256,
            )
            files.insert(scope, file)
            now = clock.seconds(scope)
            given = {
                "id": ids.prefixed("batch_"),
                "endpoint": URL,
                "input_file_id": id,
                "created_at": now,
                "expires_at": now + WINDOW_SECONDS,
            }
            return batches.insert(scope, Batch.model_validate(given | fields))

    return make


@pytest.fixture
def look(rooms) -> Callable[[Batch], Batch]:
    def get(batch: Batch) -> Batch:
        with rooms.database.read(rooms.project) as scope:
            return batches.get(scope, batch.id)

    return get


@pytest.fixture
def work_on(rooms, context: Context) -> Callable[[Batch], Hold]:
    """Claim the batch and work on it, here and now."""

    def do(batch: Batch) -> Hold:
        claim = rooms.claim("batch")
        assert claim is not None and claim.subject == batch.id
        hold = Hold(claim)
        batch_work.work_through(context, hold)
        return hold

    return do


@pytest.fixture
def read(rooms) -> Callable[[str | None], list[dict]]:
    """The rows of an output or error file; none where there is no file."""

    def get(id: str | None) -> list[dict]:
        if id is None:
            return []
        with rooms.database.read(rooms.project) as scope:
            file = files.get(scope, id)
        assert file.purpose == "batch_output"
        return [json.loads(row) for row in b"".join(rooms.blobs.read(file.blob)).splitlines()]

    return get
