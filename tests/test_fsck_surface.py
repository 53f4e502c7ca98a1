"""What the consistency check says of batches, responses and uploads."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from sqlalchemy import text

from afina.blobs import Blobs
from afina.fsck import check
from afina.schemas.batches import Batch
from afina.schemas.chat import TextFormat
from afina.schemas.files import FileObject
from afina.schemas.response_replies import Response, StoredResponse
from afina.schemas.responses import TextConfig
from afina.schemas.uploads import Upload, UploadPart
from afina.store import batches, files, projects, responses, uploads, work
from afina.store.database import Database

PART = UploadPart(id="part_1", created_at=1, upload_id="upload_1", bytes=3)


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    """A batch and a response that wait for a worker, and an upload with a part."""
    opened = Database(f"sqlite:///{tmp_path / 'afina.db'}")
    opened.upgrade()
    blobs = Blobs(tmp_path / "blobs")
    with opened.system() as system:
        projects.create_first(system, "sk-first")
        project = projects.every(system)[0].id
    rows, part = blobs.write("files/file-1", [b"{}\n"]), blobs.write(PART.blob, [b"abc"])
    file = FileObject(
        id="file-1", created_at=1, filename="a", purpose="batch", bytes=rows.bytes, sha256=rows.sha256
    )
    later = 1 << 40
    upload = Upload(id="upload_1", bytes=6, created_at=1, expires_at=later, filename="a", purpose="batch")
    config = TextConfig(format=TextFormat(type="text"))
    response = Response(id="resp_1", created_at=1, status="queued", model="m", text=config, background=True)
    with opened.scope(project) as scope:
        files.insert(scope, file)
        batches.insert(
            scope,
            Batch(
                id="batch_1", endpoint="/v1/responses", input_file_id="file-1", created_at=1, expires_at=later
            ),
        )
        responses.insert(scope, StoredResponse(response=response, input=[]))
        work.enqueue(scope, "resp_1", "respond")
        uploads.insert(scope, upload)
        uploads.insert_part(scope, PART.model_copy(update={"sha256": part.sha256}))
    yield opened
    opened.close()


@pytest.fixture
def found(database: Database, tmp_path: Path) -> Callable[..., set[tuple[str, str]]]:
    """The findings once somebody has written around the server."""

    def look(statement: str = "") -> set[tuple[str, str]]:
        if statement:
            with database.transaction(write=True) as connection:
                assert connection.execute(text(statement)).rowcount
        findings = check(database, Blobs(tmp_path / "blobs"), grace_seconds=0)
        assert all(finding.detail and finding.cure for finding in findings)
        return {(finding.invariant, finding.subject) for finding in findings}

    return look


def test_nothing_is_wrong(found, database: Database):
    assert found() == set()
    with database.system(read=True) as system:
        project = projects.every(system)[0].id
    with database.scope(project) as scope:
        responses.cancel(scope, "resp_1")
        batches.abandon(scope, "batch_1", actor="a")
    assert found() == set()


@pytest.mark.parametrize(
    ("statement", "finding"),
    [
        ("DELETE FROM work WHERE subject = 'batch_1'", ("I1", "batch_1")),
        ("DELETE FROM work WHERE subject = 'resp_1'", ("I1", "resp_1")),
        ("UPDATE batches SET status = 'completed'", ("I1", "batch_1")),
        ("UPDATE responses SET status = 'failed'", ("I1", "resp_1")),
        ("UPDATE upload_parts SET bytes = 4", ("I6", "part_1")),
        ("UPDATE uploads SET file_id = 'file-1'", ("I7", "upload_1")),
        ("UPDATE uploads SET status = 'completed', file_id = 'file-1'", ("I7", "part_1")),
    ],
)
def test_what_was_written_around_the_server_is_found(found, statement: str, finding: tuple[str, str]):
    assert finding in found(statement)


def test_a_part_whose_bytes_are_gone(found, tmp_path: Path):
    Blobs(tmp_path / "blobs").path(PART.blob).unlink()
    assert found() == {("I7", "part_1")}
