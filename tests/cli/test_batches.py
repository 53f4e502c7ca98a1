"""`afina batches`, and `afina files upload` in parts, against the real server."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from afina.cli import files as commands
from afina.schemas.batches import BatchError, BatchErrors, RequestCounts
from afina.settings import Settings
from afina.store import batches, projects
from afina.store.database import Database

KEY = "sk-owner"
LINE = {"custom_id": "a", "method": "POST", "url": "/v1/chat/completions", "body": {"model": "afina-tiny"}}


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    folder = tmp_path / "data"
    folder.mkdir()
    opened = Database(Settings(data=folder).database)
    opened.upgrade()
    with opened.system() as system:
        projects.create_first(system, KEY)
    yield opened
    opened.close()


@pytest.fixture
def afina(database: Database, tmp_path: Path, command, serve_api):
    serve_api(Settings(data=tmp_path / "data"), KEY)
    return command


@pytest.fixture
def requests(tmp_path: Path) -> str:
    path = tmp_path / "requests.jsonl"
    path.write_text(json.dumps(LINE) + "\n")
    return str(path)


def fail(database: Database, batch: str) -> None:
    """As a worker does that has read the file."""
    errors = BatchErrors(data=[BatchError(code="invalid_json_line", message="No JSON.", line=3)])
    with database.system(read=True) as system:
        project = projects.every(system)[0].id
    with database.scope(project) as scope:
        changes = {"errors": errors, "request_counts": RequestCounts(total=7, completed=4, failed=1)}
        batches.move(scope, batch, "failed", fence=None, changes=changes)


def test_a_path_is_uploaded_and_the_batch_begins(afina, requests: str):
    ran = afina("batches", "create", requests, "--metadata", "night=1")
    assert ran.code == 0 and ran.out.startswith("batch_")
    batch = json.loads(afina("batches", "get", ran.out.strip(), "--json").out)
    assert (batch["status"], batch["metadata"]) == ("validating", {"night": "1"})
    file = json.loads(afina("files", "get", batch["input_file_id"], "--json").out)
    assert file["purpose"] == "batch"
    assert afina("batches", "create", file["id"]).code == 0
    listed = [json.loads(row)["id"] for row in afina("batches", "list", "--json").out.splitlines()]
    assert len(listed) == 2 and listed[1] == batch["id"]


def test_what_went_wrong_is_shown(afina, requests: str, database: Database):
    batch = afina("batches", "create", requests).out.strip()
    fail(database, batch)
    shown = afina("batches", "get", batch).out
    assert "line 3: No JSON." in shown and "5 of 7, 1 failed" in shown
    assert "failed" in afina("batches", "list").out


def test_a_batch_is_cancelled_once(afina, requests: str):
    batch = afina("batches", "create", requests).out.strip()
    assert afina("batches", "cancel", batch).out == f"cancelling {batch}\n"
    assert afina("batches", "cancel", batch).out == f"cancelling {batch}\n"
    ran = afina("batches", "get", "batch_none")
    assert ran.code == 1 and "No batch found with id 'batch_none'." in ran.err


def test_a_large_file_goes_in_parts(afina, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(commands, "ONE_REQUEST", 100)
    monkeypatch.setattr(commands, "PART", 64)
    path = tmp_path / "large.jsonl"
    path.write_text((json.dumps(LINE) + "\n") * 3)
    id = afina("files", "upload", str(path), "--purpose", "batch").out.strip()
    assert afina("files", "content", id).out == path.read_text()
    assert len(list((tmp_path / "data" / "blobs" / "files" / id).iterdir())) > 3
    assert not list((tmp_path / "data" / "blobs" / "uploads").rglob("part_*"))
