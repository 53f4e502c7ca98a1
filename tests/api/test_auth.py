"""Who may do what: a matrix over all routes, and foreign objects that look like missing ones."""

import time
from collections.abc import Callable

import pytest
from fastapi.routing import iter_route_contexts
from fastapi.testclient import TestClient

from afina.api.app import create_app
from afina.schemas.files import FileObject
from afina.schemas.models import Model
from afina.settings import Settings
from afina.store import audit, files, keys, models
from afina.store.database import Database

OPEN = {("GET", "/"), ("GET", "/healthz")}
NEEDS = {
    ("GET", "/v1/files"): "viewer",
    ("POST", "/v1/files"): "member",
    ("GET", "/v1/files/{file_id}"): "viewer",
    ("GET", "/v1/files/{file_id}/content"): "viewer",
    ("DELETE", "/v1/files/{file_id}"): "member",
    ("POST", "/v1/fine_tuning/jobs"): "member",
    ("GET", "/v1/fine_tuning/jobs"): "viewer",
    ("GET", "/v1/fine_tuning/jobs/{job_id}"): "viewer",
    ("POST", "/v1/fine_tuning/jobs/{job_id}/cancel"): "member",
    ("GET", "/v1/fine_tuning/jobs/{job_id}/events"): "viewer",
    ("GET", "/v1/fine_tuning/jobs/{job_id}/checkpoints"): "viewer",
    ("GET", "/v1/models"): "viewer",
    ("GET", "/v1/models/{model:path}"): "viewer",
    ("DELETE", "/v1/models/{model:path}"): "owner",
    ("POST", "/v1/chat/completions"): "member",
    ("POST", "/v1/afina/estimates"): "member",
    ("POST", "/v1/afina/scores"): "member",
    ("POST", "/v1/afina/keys"): "owner",
    ("GET", "/v1/afina/keys"): "owner",
    ("DELETE", "/v1/afina/keys/{key_id}"): "owner",
}
RANK = ("viewer", "member", "owner")


def routes() -> list[tuple[str, str]]:
    """Every verb and path that the application answers."""
    contexts = iter_route_contexts(create_app(Settings()).routes)
    return [(method, route.path or "") for route in contexts for method in sorted(route.methods or ())]


def ask(client: TestClient, method: str, path: str, secret: str | None):
    """A request with nothing in it, whose ids name nothing."""
    for name in ("{file_id}", "{job_id}", "{model:path}", "{key_id}"):
        path = path.replace(name, "missing")
    headers = {"authorization": f"Bearer {secret}"} if secret else {"authorization": ""}
    return client.request(method, path, headers=headers)


def test_every_route_has_its_line_in_the_matrix():
    assert set(routes()) - OPEN == set(NEEDS)


def test_keys_that_open_nothing(client: TestClient, project: str, new_key: Callable[..., str]):
    for secret, code in (
        (None, None),
        ("sk-garbage", "invalid_api_key"),
        ("x" * 10_000, "invalid_api_key"),
        (new_key(project, "owner", revoked=True), "invalid_api_key"),
        (new_key(project, "owner", expires_at=int(time.time()) - 1), "expired_api_key"),
    ):
        for method, path in NEEDS:
            reply = ask(client, method, path, secret)
            assert (reply.status_code, reply.json()["error"]["code"]) == (401, code)


@pytest.mark.parametrize("role", RANK)
def test_a_role_reaches_as_far_as_it_should(
    client: TestClient, project: str, new_key: Callable[..., str], role: str
):
    secret = new_key(project, role)
    for (method, path), needed in NEEDS.items():
        reply = ask(client, method, path, secret)
        if RANK.index(role) < RANK.index(needed):
            assert (reply.status_code, reply.json()["error"]["code"]) == (403, "insufficient_permissions")
        else:
            assert reply.status_code in (200, 400, 404), reply.text


@pytest.mark.parametrize("header", ["", "Basic c2stb3duZXI6", "Bearer", "Bearer ", "sk-owner"])
def test_a_header_without_a_bearer_key(client: TestClient, header: str):
    reply = client.get("/v1/models", headers={"authorization": header})
    assert reply.status_code == 401 and reply.json()["error"]["code"] is None
    assert reply.json()["error"]["message"].startswith("You didn't provide an API key.")


def test_two_authorization_headers(settings: Settings):
    with TestClient(create_app(settings)) as client:
        headers = [("authorization", "Bearer sk-owner"), ("authorization", "Bearer sk-owner")]
        reply = client.get("/v1/models", headers=headers)
    assert (reply.status_code, reply.json()["error"]["code"]) == (400, "invalid_header")


@pytest.fixture
def foreign(client: TestClient, database: Database, other_project: str) -> dict[str, str]:
    """Objects of another project: a file, a model and a key."""
    file = FileObject(id="file-foreign", bytes=1, created_at=1, filename="a.jsonl", purpose="fine-tune")
    tuned = Model(
        id="ft:afina-tiny:x::foreign1", created=1, owned_by="x", kind="tuned", base="afina-tiny", key="k"
    )
    with database.scope(other_project) as scope:
        files.insert(scope, file)
        models.insert(scope, tuned)
        key = keys.insert(scope, "sk-foreign", name="theirs", role="member")
    return {"file": file.id, "model": tuned.id, "key": key.id}


def same(client: TestClient, method: str, path: str, foreign: str, **body: object) -> None:
    """A foreign id is answered like a missing one, byte for byte but for the id itself."""
    missing = foreign[:-1] + "0"
    replies = []
    for name in (foreign, missing):
        sent = {key: name if value == "ID" else value for key, value in body.items()}
        reply = client.request(method, path.replace("ID", name), json=sent or None)
        replies.append((reply.status_code, reply.text.replace(name, "ID")))
    assert replies[0] == replies[1] and replies[0][0] in (400, 404), replies


def test_a_foreign_id_is_a_missing_id(
    client: TestClient, foreign: dict[str, str], upload: Callable[..., dict]
):
    mine = upload()["id"]
    for method, path in (
        ("GET", "/v1/files/ID"),
        ("GET", "/v1/files/ID/content"),
        ("DELETE", "/v1/files/ID"),
    ):
        same(client, method, path, foreign["file"])
    for method in ("GET", "DELETE"):
        same(client, method, "/v1/models/ID", foreign["model"])
    messages = [{"role": "user", "content": "Hi"}]
    same(client, "POST", "/v1/chat/completions", foreign["model"], model="ID", messages=messages)
    jobs = "/v1/fine_tuning/jobs"
    same(client, "POST", jobs, foreign["model"], model="ID", training_file=mine)
    same(client, "POST", jobs, foreign["file"], model="afina-tiny", training_file="ID")
    same(client, "POST", jobs, foreign["file"], model="afina-tiny", training_file=mine, validation_file="ID")
    same(client, "DELETE", "/v1/afina/keys/ID", foreign["key"])
    assert foreign["key"] not in client.get("/v1/afina/keys").text
    assert [f["id"] for f in client.get("/v1/files").json()["data"]] == [mine]
    assert client.get(f"/v1/files?after={foreign['file']}").json()["data"] == []
    assert [m["id"] for m in client.get("/v1/models").json()["data"]] == ["afina-tiny"]


def test_a_job_of_another_project(
    client: TestClient, upload: Callable[..., dict], other_project: str, new_key: Callable[..., str]
):
    job = client.post(
        "/v1/fine_tuning/jobs", json={"model": "afina-tiny", "training_file": upload()["id"]}
    ).json()["id"]
    client.headers["authorization"] = f"Bearer {new_key(other_project)}"
    for method, rest in (("GET", ""), ("GET", "/events"), ("GET", "/checkpoints"), ("POST", "/cancel")):
        same(client, method, f"/v1/fine_tuning/jobs/ID{rest}", job)
    assert client.get("/v1/fine_tuning/jobs").json()["data"] == []


def test_keys_are_made_shown_once_and_revoked(client: TestClient):
    made = client.post(
        "/v1/afina/keys", json={"name": "laptop", "role": "viewer", "expires_after": 60}
    ).json()
    assert made["secret"].startswith("sk-afina-") and made["expires_at"] == made["created_at"] + 60
    headers = {"authorization": f"Bearer {made['secret']}"}
    assert client.get("/v1/files", headers=headers).status_code == 200
    listed = client.get("/v1/afina/keys").json()
    assert listed["data"][0]["id"] == made["id"] and made["secret"] not in str(listed)
    assert client.delete(f"/v1/afina/keys/{made['id']}").json()["deleted"] is True
    assert client.get("/v1/files", headers=headers).status_code == 401
    last = listed["data"][-1]
    reply = client.delete(f"/v1/afina/keys/{last['id']}")
    assert (reply.status_code, reply.json()["error"]["code"]) == (400, "last_owner")
    assert client.delete("/v1/afina/keys/key_nothere").status_code == 404


def test_the_audit_names_the_key_that_did_it(
    client: TestClient, upload: Callable[..., dict], database: Database, project: str
):
    owner = client.get("/v1/afina/keys").json()["data"][0]["id"]
    made = client.post("/v1/afina/keys", json={"name": "laptop"}).json()["id"]
    client.delete(f"/v1/afina/keys/{made}")
    file = upload()["id"]
    with database.read(project) as scope:
        entries = [
            (entry.action, entry.subject, entry.actor) for entry in audit.page(scope, ascending=True).data
        ]
    assert entries[1:] == [
        ("key.created", made, owner),
        ("key.revoked", made, owner),
        ("file.created", file, owner),
    ]


@pytest.mark.parametrize(
    "body", [{}, {"name": ""}, {"name": "a" * 65}, {"name": "<b>"}, {"name": "a", "role": "god"}]
)
def test_a_key_needs_a_plain_name_and_a_known_role(client: TestClient, body: dict):
    assert client.post("/v1/afina/keys", json=body).status_code == 400
