"""Uploads, their bad inputs, and what comes back."""

import base64
import socket
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import openai
import pytest
from fastapi.testclient import TestClient

from afina.api import body
from afina.api.app import create_app
from afina.api.rooms import Rooms
from afina.blobs import Blobs
from afina.schemas.files import FileObject
from afina.settings import Settings
from afina.store import files
from afina.store.database import Database

ROW = b'{"messages": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello."}]}\n'


def form(*parts: tuple[str, bytes], end: bytes = b"--xyz--\r\n") -> bytes:
    """A multipart body with the boundary `xyz`; each part is its disposition's rest and its data."""
    heads = (
        b"--xyz\r\nContent-Disposition: form-data; " + rest.encode() + b"\r\n\r\n" + data
        for rest, data in parts
    )
    return b"".join(head + b"\r\n" for head in heads) + end


def send(client: TestClient, body: bytes, content_type: str = "multipart/form-data; boundary=xyz"):
    return client.post("/v1/files", content=body, headers={"content-type": content_type})


def stored(settings: Settings) -> list[str]:
    """Every blob, temporary ones too."""
    root = settings.data / "blobs"
    return [path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_file()]


FILE = ('name="file"; filename="rows.jsonl"', ROW)
PURPOSE = ('name="purpose"', b"fine-tune")


def test_the_official_client_round_trip(official: openai.OpenAI, tmp_path: Path):
    path = tmp_path / "rows.jsonl"
    path.write_bytes(ROW * 100)
    with path.open("rb") as source:
        made = official.files.create(
            file=source, purpose="fine-tune", expires_after={"anchor": "created_at", "seconds": 3600}
        )
    assert made.id.startswith("file-") and made.bytes == len(ROW) * 100 and made.filename == "rows.jsonl"
    assert made.expires_at == made.created_at + 3600 and made._request_id
    second = official.files.create(file=("b.bin", b"Example data"), purpose="assistants")
    assert [file.id for file in official.files.list()] == [second.id, made.id]
    assert [file.id for file in official.files.list(order="asc", limit=1)] == [made.id, second.id]
    assert [file.id for file in official.files.list(purpose="fine-tune")] == [made.id]
    assert official.files.content(made.id).read() == ROW * 100
    assert official.files.wait_for_processing(made.id, max_wait_seconds=1).status == "processed"
    deleted = official.files.delete(made.id)
    assert deleted.deleted and deleted.object == "file"
    with pytest.raises(openai.NotFoundError, match="No such File object"):
        official.files.retrieve(made.id)


def test_the_blob_goes_with_its_row(client: TestClient, upload: Callable[..., dict], settings: Settings):
    file = upload()
    assert stored(settings) == [f"files/{file['id']}"]
    assert client.delete(f"/v1/files/{file['id']}").json() == {
        "id": file["id"],
        "object": "file",
        "deleted": True,
        "afina": {"models": []},
    }
    assert stored(settings) == []
    assert client.delete(f"/v1/files/{file['id']}").status_code == 404


@pytest.mark.parametrize(
    ("body", "status", "param", "code"),
    [
        (form(PURPOSE), 400, "file", "missing_required_parameter"),
        (form(FILE), 400, "purpose", "missing_required_parameter"),
        (form(FILE, ('name="purpose"', b"fine-tune-results")), 400, "purpose", "invalid_purpose"),
        (form(FILE, ('name="purpose"', b"nothing")), 400, "purpose", "invalid_purpose"),
        (form((FILE[0], b""), PURPOSE), 400, "file", "empty_file"),
        (
            form(('name="file"; filename="' + "a" * 250 + '.jsonl"', ROW), PURPOSE),
            400,
            "file",
            "invalid_filename",
        ),
        (form(('name="file"; filename=".jsonl"', ROW), PURPOSE), 400, "file", "invalid_filename"),
        (form(('name="file"; filename=""', ROW), PURPOSE), 400, "file", "invalid_filename"),
        (form(('name="file"; filename="rows.csv"', ROW), PURPOSE), 400, "file", "invalid_file_format"),
        (form(FILE, FILE, PURPOSE), 400, "file", "duplicate_parameter"),
        (form(FILE, PURPOSE, PURPOSE), 400, "purpose", "duplicate_parameter"),
        (
            form(('name="file"; filename="a.jsonl"; x="' + "y" * 1_000_000 + '"', ROW)),
            400,
            None,
            "invalid_multipart",
        ),
        (form(FILE, PURPOSE, end=b""), 400, None, "invalid_multipart"),
        (b"", 400, None, "invalid_multipart"),
        (b"\r\n" + b"x" * 200_000 + form(FILE, PURPOSE), 400, None, "invalid_multipart"),
        (form(FILE, PURPOSE) + b"\r\n" * 100_000, 400, None, "invalid_multipart"),
        (form((FILE[0], b"PK\x03\x04" + bytes(40)), PURPOSE), 400, "file", "invalid_file_format"),
        (form((FILE[0], b"\x1f\x8b" + bytes(40)), PURPOSE), 400, "file", "invalid_file_format"),
        (form((FILE[0], b"\x80\x04" + bytes(40)), PURPOSE), 400, "file", "invalid_file_format"),
        (form(FILE, PURPOSE, ('name="output_dir"', b"/etc")), 400, "output_dir", "unknown_parameter"),
        *(
            (
                form(
                    FILE,
                    PURPOSE,
                    ('name="expires_after[anchor]"', anchor),
                    ('name="expires_after[seconds]"', seconds),
                ),
                400,
                "expires_after",
                "invalid_value",
            )
            for anchor, seconds in (
                (b"created_at", b"3599"),
                (b"created_at", b"2592001"),
                (b"created_at", b"abc"),
                (b"created_at", b"-3600"),
                (b"last_active_at", b"3600"),
            )
        ),
    ],
)
def test_a_bad_upload_is_refused_and_leaves_nothing(
    refusing: TestClient, body: bytes, status: int, param: str | None, code: str
):
    rooms: Rooms = refusing.app.state.rooms  # type: ignore[attr-defined]
    before = stored(rooms.settings)
    error = (reply := send(refusing, body)).json()["error"]
    assert (reply.status_code, error["param"], error["code"]) == (status, param, code)
    assert len(refusing.get("/v1/files").json()["data"]) == 1
    assert stored(rooms.settings) == before


@pytest.mark.parametrize(
    ("content_type", "status", "code"),
    [
        ("multipart/form-data", 400, "invalid_multipart"),
        ("multipart/form-data; boundary=", 400, "invalid_multipart"),
        ("multipart/form-data; boundary=other", 400, "invalid_multipart"),
        ("multipart/form-data; boundary=" + "b" * 71, 400, "invalid_multipart"),
        ("application/json", 415, "unsupported_media_type"),
    ],
)
def test_a_body_that_is_no_form(refusing: TestClient, content_type: str, status: int, code: str):
    reply = send(refusing, form(FILE, PURPOSE), content_type)
    assert (reply.status_code, reply.json()["error"]["code"]) == (status, code)


def test_a_compressed_body_is_not_opened(client: TestClient):
    headers = {"content-type": "multipart/form-data; boundary=xyz", "content-encoding": "gzip"}
    assert client.post("/v1/files", content=b"\x1f\x8b", headers=headers).status_code == 415


def test_a_file_may_not_be_larger_than_allowed(settings: Settings):
    app = create_app(replace(settings, max_file_bytes=1024 * 1024))
    with TestClient(app, headers={"authorization": "Bearer sk-owner"}) as client:
        reply = send(client, form((FILE[0], ROW * 20_000), PURPOSE))
        assert (reply.status_code, reply.json()["error"]["code"]) == (413, "file_too_large")
        assert reply.json()["error"]["message"] == "File is too large. Max 1 MB; use /v1/uploads."


@pytest.mark.parametrize(
    ("sent", "kept"),
    [
        ("../../etc/rows.jsonl", "rows.jsonl"),
        ("C:\\\\data\\\\rows.jsonl", "rows.jsonl"),
        ("/abs/rows.jsonl", "rows.jsonl"),
        ("histórico clínico.jsonl", "histórico clínico.jsonl"),
        ("a\tb.jsonl", "ab.jsonl"),
    ],
)
def test_only_the_last_part_of_a_name_is_kept(client: TestClient, sent: str, kept: str):
    reply = send(client, form((f'name="file"; filename="{sent}"', ROW), PURPOSE))
    assert reply.status_code == 200 and reply.json()["filename"] == kept


def test_content_cannot_be_run_or_kept_by_a_browser(client: TestClient, upload: Callable[..., dict]):
    file = upload(name='días "2".jsonl')
    reply = client.get(f"/v1/files/{file['id']}/content")
    assert reply.content == ROW * 10
    assert (
        reply.headers["x-content-type-options"] == "nosniff" and reply.headers["cache-control"] == "no-store"
    )
    found = reply.headers["content-disposition"]
    assert found.startswith('attachment; filename="dias 2') and "filename*=UTF-8''d%C3%ADas" in found


def test_a_result_file_is_base64_unless_the_plain_table_is_asked_for(
    client: TestClient, settings: Settings, database: Database, project: str
):
    table = b"step,train_loss\n1,0.5\n"
    written = Blobs(settings.data / "blobs").write("files/file-result", [base64.b64encode(table)])
    file = FileObject(
        id="file-result", bytes=written.bytes, created_at=1, filename="r.csv", purpose="fine-tune-results"
    )
    with database.scope(project) as scope:
        files.insert(scope, file)
    assert base64.b64decode(client.get("/v1/files/file-result/content").content) == table
    plain = client.get("/v1/files/file-result/content", headers={"accept": "text/csv"})
    assert plain.content == table and plain.headers["content-type"].startswith("text/csv")


@pytest.mark.parametrize("query", ["limit=10001", "limit=-1", "limit=x", "limit=" + "9" * 5000, "order=up"])
def test_a_list_refuses_what_it_does_not_know(refusing: TestClient, query: str):
    reply = refusing.get(f"/v1/files?{query}")
    assert reply.status_code == 400 and reply.json()["error"]["param"] == query.partition("=")[0]


def test_a_list_takes_what_the_official_suite_sends(client: TestClient, upload: Callable[..., dict]):
    first, second = upload(), upload()
    assert [f["id"] for f in client.get("/v1/files?limit=0").json()["data"]] == [second["id"]]
    page = client.get("/v1/files?limit=1").json()
    assert page["has_more"] is True and page["first_id"] == page["last_id"] == second["id"]
    rest = client.get(f"/v1/files?limit=1&after={page['last_id']}").json()
    assert [f["id"] for f in rest["data"]] == [first["id"]] and rest["has_more"] is False
    assert client.get("/v1/files?after=after").json()["data"] == []


def test_an_upload_sent_again_is_one_file(client: TestClient, settings: Settings):
    body = form(FILE, PURPOSE)
    headers = {"content-type": "multipart/form-data; boundary=xyz", "idempotency-key": "k1"}
    first = client.post("/v1/files", content=body, headers=headers)
    again = client.post("/v1/files", content=body, headers=headers)
    assert first.json() == again.json() and again.headers["idempotent-replayed"] == "true"
    assert stored(settings) == [f"files/{first.json()['id']}"]
    other = client.post("/v1/files", content=form((FILE[0], ROW * 2), PURPOSE), headers=headers)
    assert (other.status_code, other.json()["error"]["code"]) == (400, "idempotency_key_reused")
    assert stored(settings) == [f"files/{first.json()['id']}"], "the bytes of a refused upload do not stay"


def begin_upload(server: str, start: bytes, length: int) -> socket.socket:
    """A connection on which `start` was sent as the beginning of `length` bytes."""
    host, port = server.removeprefix("http://").split(":")
    connection = socket.create_connection((host, int(port)), timeout=10)
    head = "POST /v1/files HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer sk-owner\r\n"
    head += f"Content-Type: multipart/form-data; boundary=xyz\r\nContent-Length: {length}\r\n\r\n"
    connection.sendall(head.encode() + start)
    return connection


def test_a_silent_client_is_not_waited_for(server: str, settings: Settings, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(body, "SILENCE_SECONDS", 0.3)
    with begin_upload(server, form(FILE, PURPOSE)[:100], 10_000) as connection:
        reply = b"".join(iter(lambda: connection.recv(65536), b""))
    assert reply.startswith(b"HTTP/1.1 408 ") and b'"code":"request_timeout"' in reply
    assert stored(settings) == []


def test_an_upload_that_is_cut_leaves_nothing(server: str, settings: Settings):
    with begin_upload(server, form((FILE[0], ROW * 10_000), PURPOSE), 10_000_000):
        until(lambda: len(stored(settings)) == 1)
    until(lambda: stored(settings) == [])
    assert list((settings.data / "blobs").rglob("file-*")) == []


def until(condition: Callable[[], bool]) -> None:
    """Look until it holds; the test fails when it does not within ten seconds."""
    end = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)
