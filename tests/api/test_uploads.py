"""Large files in parts: what becomes of them, and every refusal."""

import hashlib
import re
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import openai
import pytest
from fastapi.testclient import TestClient
from sqlalchemy import update

from afina.api import uploads as routes
from afina.api.multipart import Expected
from afina.blobs import Blobs
from afina.settings import Settings
from afina.store import uploads as rows
from afina.store.database import Database
from afina.store.upload_tables import uploads as table
from afina.worker.sweep import expire, sweep

ROW = b'{"messages": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello."}]}\n'
NEW = {"filename": "rows.bin", "purpose": "assistants", "bytes": 6, "mime_type": "text/plain"}


def begin(client: TestClient, **fields: object) -> str:
    reply = client.post("/v1/uploads", json=NEW | fields)
    assert reply.status_code == 200, reply.text
    return reply.json()["id"]


def send(client: TestClient, upload: str, data: bytes, **headers: str):
    return client.post(f"/v1/uploads/{upload}/parts", files={"data": ("part", data)}, headers=headers)


def part(client: TestClient, upload: str, data: bytes) -> str:
    reply = send(client, upload, data)
    assert reply.status_code == 200, reply.text
    return reply.json()["id"]


def complete(client: TestClient, upload: str, *parts: str, **fields: object):
    return client.post(f"/v1/uploads/{upload}/complete", json={"part_ids": list(parts), **fields})


def stored(settings: Settings) -> list[str]:
    """Every blob, temporary ones too."""
    root = settings.data / "blobs"
    return sorted(path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_file())


def let_its_hour_pass(database: Database, upload: str) -> None:
    with database.system() as system:
        system.connection.execute(update(table).where(table.c.id == upload).values(expires_at=1))


def test_the_official_client_sends_a_file_in_parts(official: openai.OpenAI, tmp_path: Path):
    path = tmp_path / "rows.jsonl"
    sent = ROW * 5000
    path.write_bytes(sent)
    md5 = hashlib.md5(sent, usedforsecurity=False).hexdigest()
    upload = official.uploads.upload_file_chunked(
        file=path, mime_type="text/jsonl", purpose="fine-tune", part_size=100_000, md5=md5
    )
    assert upload.status == "completed" and upload.file is not None
    assert (upload.bytes, upload.file.bytes, upload.file.filename) == (len(sent), len(sent), "rows.jsonl")
    assert official.files.content(upload.file.id).read() == sent
    assert official.files.retrieve(upload.file.id).to_dict() == upload.file.to_dict()
    assert [file.id for file in official.files.list(purpose="fine-tune")] == [upload.file.id]


def test_an_upload_has_openais_shape(client: TestClient):
    expiry = {"anchor": "created_at", "seconds": 7200}
    made = client.post("/v1/uploads", json=NEW | {"expires_after": expiry}).json()
    moment = made["created_at"]
    assert re.fullmatch(r"upload_\w{24}", made.pop("id"))
    assert made == {
        "object": "upload",
        "bytes": 6,
        "created_at": moment,
        "expires_at": moment + 3600,
        "filename": "rows.bin",
        "purpose": "assistants",
        "status": "pending",
        "file": None,
    }


def test_a_part_has_openais_shape(client: TestClient):
    upload = begin(client)
    made = send(client, upload, b"abc").json()
    assert re.fullmatch(r"part_\w{24}", made["id"])
    assert made["upload_id"] == upload and made["object"] == "upload.part"
    assert set(made) == {"id", "object", "created_at", "upload_id"}


def test_parts_are_joined_in_the_order_given(client: TestClient, settings: Settings):
    upload = begin(client, expires_after={"anchor": "created_at", "seconds": 7200})
    with ThreadPoolExecutor(3) as pool:
        c, a, b = pool.map(lambda data: part(client, upload, data), (b"ee", b"ab", b"cd"))
    done = complete(client, upload, a, b, c).json()
    file = done["file"]
    assert (done["status"], done["id"], file["bytes"]) == ("completed", upload, 6)
    assert file["expires_at"] == file["created_at"] + 7200
    assert client.get(f"/v1/files/{file['id']}/content").content == b"abcdee"
    assert stored(settings) == [f"files/{file['id']}/0000{n}" for n in (1, 2, 3)]
    assert client.delete(f"/v1/files/{file['id']}").status_code == 200
    assert stored(settings) == []


def test_to_complete_again_gives_the_same_file(client: TestClient):
    upload = begin(client)
    only = part(client, upload, b"abcdef")
    with ThreadPoolExecutor(4) as pool:
        found = {pool.submit(complete, client, upload, only) for _ in range(4)}
    replies = [future.result() for future in found] + [complete(client, upload, only)]
    assert len({reply.json()["file"]["id"] for reply in replies}) == 1
    assert len(client.get("/v1/files").json()["data"]) == 1


def test_a_batch_file_goes_after_thirty_days_unless_somebody_says_otherwise(client: TestClient):
    files = {"file": ("rows.jsonl", b"{}\n")}
    made = client.post("/v1/files", files=files, data={"purpose": "batch"}).json()
    assert made["expires_at"] == made["created_at"] + 30 * 24 * 3600


def test_a_part_that_is_sent_again_is_the_same_part(client: TestClient, settings: Settings):
    upload = begin(client)
    first = send(client, upload, b"abcdef").json()
    again = send(client, upload, b"abcdef", **{"x-stainless-retry-count": "1"})
    assert again.json() == first and again.headers["idempotent-replayed"] == "true"
    assert stored(settings) == [f"uploads/{upload}/{first['id']}"]
    assert complete(client, upload, first["id"]).status_code == 200


def test_equal_parts_of_one_file_are_two(client: TestClient):
    upload = begin(client)
    first, second = part(client, upload, b"abc"), part(client, upload, b"abc")
    assert first != second
    file = complete(client, upload, first, second).json()["file"]
    assert client.get(f"/v1/files/{file['id']}/content").content == b"abcabc"


def test_what_is_cancelled_takes_its_parts_along(client: TestClient, settings: Settings):
    upload = begin(client)
    only = part(client, upload, b"abcdef")
    assert client.post(f"/v1/uploads/{upload}/cancel").json()["status"] == "cancelled"
    assert stored(settings) == []
    assert client.post(f"/v1/uploads/{upload}/cancel").json()["status"] == "cancelled"
    for reply in (send(client, upload, b"x"), complete(client, upload, only)):
        assert (reply.status_code, reply.json()["error"]["code"]) == (400, "upload_not_pending")
        assert reply.json()["error"]["message"] == "Upload is cancelled."


def test_what_is_completed_takes_no_more(client: TestClient):
    upload = begin(client)
    complete(client, upload, part(client, upload, b"abcdef"))
    for reply in (send(client, upload, b"x"), client.post(f"/v1/uploads/{upload}/cancel")):
        assert reply.status_code == 400 and reply.json()["error"]["message"] == "Upload is completed."


def test_an_hour_later_it_is_too_late(client: TestClient, settings: Settings, database: Database):
    upload = begin(client)
    only = part(client, upload, b"abcdef")
    let_its_hour_pass(database, upload)
    for when in ("before the sweep", "after it"):
        for reply in (
            send(client, upload, b"x"),
            complete(client, upload, only),
            client.post(f"/v1/uploads/{upload}/cancel"),
        ):
            assert reply.status_code == 400, when
            assert reply.json()["error"]["message"] == "Upload is expired."
        expire(database, Blobs(settings.data / "blobs"))
    assert stored(settings) == []


def test_the_sweep_leaves_open_uploads_alone(client: TestClient, settings: Settings, database: Database):
    upload = begin(client)
    only = part(client, upload, b"abcdef")
    blobs = Blobs(settings.data / "blobs")
    assert sweep(database, blobs, grace_seconds=0) == 0
    file = complete(client, upload, only).json()["file"]["id"]
    assert sweep(database, blobs, grace_seconds=0) == 0
    assert client.get(f"/v1/files/{file}/content").content == b"abcdef"


@pytest.mark.parametrize(
    ("fields", "param", "code"),
    [
        ({"bytes": 8 * 2**30 + 1}, "bytes", "upload_too_large"),
        ({"bytes": -1}, "bytes", "invalid_value"),
        ({"bytes": "6"}, "bytes", "invalid_type"),
        ({"bytes": None}, "bytes", "invalid_type"),
        ({"purpose": "fine-tune-results"}, "purpose", "invalid_purpose"),
        ({"purpose": "nothing"}, "purpose", "invalid_purpose"),
        ({"purpose": "fine-tune"}, "file", "invalid_file_format"),
        ({"filename": ""}, "filename", "invalid_filename"),
        ({"filename": "a" * 256}, "filename", "invalid_filename"),
        ({"mime_type": 1}, "mime_type", "invalid_type"),
        ({"path": "/etc"}, "path", "unknown_parameter"),
        (
            {"expires_after": {"anchor": "created_at", "seconds": 3599}},
            "expires_after.seconds",
            "invalid_value",
        ),
        ({"expires_after": {"anchor": "now", "seconds": 3600}}, "expires_after.anchor", "invalid_value"),
    ],
)
def test_an_upload_that_cannot_be(refusing: TestClient, fields: dict[str, object], param: str, code: str):
    reply = refusing.post("/v1/uploads", json=NEW | fields)
    assert reply.status_code == 400
    assert (reply.json()["error"]["param"], reply.json()["error"]["code"]) == (param, code)


def test_what_openais_suite_sends_is_taken(client: TestClient):
    assert begin(client, bytes=0, filename="filename", mime_type="mime_type").startswith("upload_")


def test_a_path_is_no_name(client: TestClient):
    made = client.post("/v1/uploads", json=NEW | {"filename": "../../etc/passwd"}).json()
    assert made["filename"] == "passwd"


def test_a_part_has_bytes(client: TestClient, settings: Settings):
    upload = begin(client)
    empty = send(client, upload, b"")
    assert (empty.status_code, empty.json()["error"]["code"]) == (400, "empty_part")
    url = f"/v1/uploads/{upload}/parts"
    without = client.post(url, files={"file": ("part", b"abc")})
    assert without.json()["error"]["code"] == "unknown_parameter"
    assert client.post(url, json={}).status_code == 415
    assert stored(settings) == []


def test_a_part_that_is_too_long(client: TestClient, settings: Settings, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(routes, "PART", Expected("data", 2**20))
    upload = begin(client, bytes=2**21)
    reply = send(client, upload, bytes(2**20 + 1))
    assert (reply.status_code, reply.json()["error"]["code"]) == (413, "file_too_large")
    assert reply.json()["error"]["message"] == "File is too large. Max 1 MB."
    assert stored(settings) == []


def test_more_bytes_than_announced(client: TestClient, settings: Settings):
    upload = begin(client)
    first = part(client, upload, b"abcd")
    reply = send(client, upload, b"efg")
    assert (reply.status_code, reply.json()["error"]["param"]) == (400, "data")
    assert stored(settings) == [f"uploads/{upload}/{first}"]


def test_fewer_bytes_than_announced(client: TestClient):
    upload = begin(client)
    reply = complete(client, upload, part(client, upload, b"abcd"))
    assert reply.status_code == 400
    assert "expected 6 bytes, got 4" in reply.json()["error"]["message"]


def test_parts_that_are_not_this_uploads(client: TestClient):
    upload, other = begin(client), begin(client)
    mine, strange = part(client, upload, b"abc"), part(client, other, b"abc")
    for ids in ([mine, "part_none"], [mine, strange], [mine, mine], [], [mine] * 10_001):
        reply = complete(client, upload, *ids)
        assert (reply.status_code, reply.json()["error"]["param"]) == (400, "part_ids"), ids[:3]


@pytest.mark.parametrize("sent", ["0" * 32, "e80b5017098950fc58aad83c8c14978f"])
def test_an_md5_is_looked_at(client: TestClient, sent: str):
    upload = begin(client)
    reply = complete(client, upload, part(client, upload, b"abcdeF"), md5=sent)
    assert (reply.status_code, reply.json()["error"]["code"]) == (400, "checksum_mismatch")
    assert client.post(f"/v1/uploads/{upload}/cancel").json()["status"] == "cancelled"


@pytest.mark.parametrize("sent", ["md5", "", "E80B5017098950FC58AAD83C8C14978E"])
def test_an_md5_that_is_none_is_not_looked_at(client: TestClient, sent: str):
    upload = begin(client)
    assert complete(client, upload, part(client, upload, b"abcdef"), md5=sent).status_code == 200


def test_an_archive_is_not_jsonl(client: TestClient):
    upload = begin(client, filename="rows.jsonl", purpose="fine-tune")
    reply = complete(client, upload, part(client, upload, b"PK\x03\x04zz"))
    assert (reply.status_code, reply.json()["error"]["code"]) == (400, "invalid_file_format")


def test_only_so_many_at_a_time(client: TestClient, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(rows, "MAX_OPEN", 2)
    first = begin(client)
    begin(client)
    reply = client.post("/v1/uploads", json=NEW)
    assert (reply.status_code, reply.json()["error"]["code"]) == (429, "too_many_uploads")
    assert reply.headers["x-should-retry"] == "false"
    client.post(f"/v1/uploads/{first}/cancel")
    begin(client)


def test_another_projects_upload_is_not_there(
    client: TestClient, other_project: str, new_key: Callable[..., str]
):
    upload = begin(client)
    only = part(client, upload, b"abcdef")
    stranger = {"authorization": f"Bearer {new_key(other_project)}"}
    for path, fields in (
        ("cancel", {}),
        ("complete", {"json": {"part_ids": [only]}}),
        ("parts", {"files": {"data": ("part", b"x")}}),
    ):
        for name in (upload, "upload_none"):
            reply = client.post(f"/v1/uploads/{name}/{path}", headers=stranger, **fields)
            assert reply.status_code == 404
            assert reply.json()["error"]["message"] == f"No such Upload object: {name}"


def test_a_viewer_uploads_nothing(client: TestClient, project: str, new_key: Callable[..., str]):
    viewer = {"authorization": f"Bearer {new_key(project, 'viewer')}"}
    assert client.post("/v1/uploads", json=NEW, headers=viewer).status_code == 403
