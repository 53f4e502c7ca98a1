"""Who may do what: a matrix over all routes, and foreign objects that look like missing ones."""

import re
import time
from collections.abc import Callable

import pytest
from fastapi.routing import iter_route_contexts
from fastapi.testclient import TestClient

from afina.api.app import create_app
from afina.api.callers import Callers
from afina.schemas.files import FileObject
from afina.schemas.models import Model
from afina.settings import Settings
from afina.store import audit, files, keys, models
from afina.store.database import Database
from afina_server import until

OPEN = {("GET", "/"), ("GET", "/healthz")}
VIEWER = """
GET /v1/files
GET /v1/files/{file_id}
GET /v1/files/{file_id}/content
GET /v1/batches
GET /v1/batches/{batch_id}
GET /v1/fine_tuning/jobs
GET /v1/fine_tuning/jobs/{job_id}
GET /v1/fine_tuning/jobs/{job_id}/events
GET /v1/fine_tuning/jobs/{job_id}/checkpoints
GET /v1/fine_tuning/checkpoints/{model:path}/permissions
GET /v1/models
GET /v1/models/{model:path}
GET /v1/chat/completions
GET /v1/chat/completions/{completion_id}
GET /v1/chat/completions/{completion_id}/messages
GET /v1/responses/{response_id}
GET /v1/responses/{response_id}/input_items
POST /v1/responses/input_tokens
GET /v1/conversations/{conversation_id}
GET /v1/conversations/{conversation_id}/items
GET /v1/conversations/{conversation_id}/items/{item_id}
GET /v1/evals
GET /v1/evals/{eval_id}
GET /v1/evals/{eval_id}/runs
GET /v1/evals/{eval_id}/runs/{run_id}
GET /v1/evals/{eval_id}/runs/{run_id}/output_items
GET /v1/evals/{eval_id}/runs/{run_id}/output_items/{output_item_id}
GET /v1/webhook_endpoints
GET /v1/webhook_endpoints/{endpoint_id}
GET /v1/webhook_event_types
"""
MEMBER = """
POST /v1/files
DELETE /v1/files/{file_id}
POST /v1/uploads
POST /v1/uploads/{upload_id}/parts
POST /v1/uploads/{upload_id}/complete
POST /v1/uploads/{upload_id}/cancel
POST /v1/batches
POST /v1/batches/{batch_id}/cancel
POST /v1/fine_tuning/jobs
POST /v1/fine_tuning/jobs/{job_id}/cancel
POST /v1/fine_tuning/jobs/{job_id}/pause
POST /v1/fine_tuning/jobs/{job_id}/resume
POST /v1/fine_tuning/alpha/graders/run
POST /v1/fine_tuning/alpha/graders/validate
POST /v1/evals
POST /v1/evals/{eval_id}
DELETE /v1/evals/{eval_id}
POST /v1/evals/{eval_id}/runs
POST /v1/evals/{eval_id}/runs/{run_id}/cancel
DELETE /v1/evals/{eval_id}/runs/{run_id}
POST /v1/chat/completions
POST /v1/chat/completions/{completion_id}
DELETE /v1/chat/completions/{completion_id}
POST /v1/completions
POST /v1/responses
POST /v1/responses/compact
DELETE /v1/responses/{response_id}
POST /v1/responses/{response_id}/cancel
POST /v1/conversations
POST /v1/conversations/{conversation_id}
DELETE /v1/conversations/{conversation_id}
POST /v1/conversations/{conversation_id}/items
DELETE /v1/conversations/{conversation_id}/items/{item_id}
POST /v1/embeddings
POST /v1/moderations
POST /v1/afina/chat_exports
POST /v1/afina/estimates
POST /v1/afina/scores
"""
# The organisation's routes need an administrator: an owner in its first project is one.
OWNER = """
DELETE /v1/models/{model:path}
POST /v1/fine_tuning/checkpoints/{model:path}/permissions
DELETE /v1/fine_tuning/checkpoints/{model:path}/permissions/{permission_id}
POST /v1/webhook_endpoints
POST /v1/webhook_endpoints/{endpoint_id}
DELETE /v1/webhook_endpoints/{endpoint_id}
POST /v1/webhook_endpoints/{endpoint_id}/rotate_secret
POST /v1/webhook_endpoints/{endpoint_id}/test
POST /v1/afina/keys
GET /v1/afina/keys
DELETE /v1/afina/keys/{key_id}
GET /v1/organization/usage/{service}
GET /v1/organization/costs
POST /v1/afina/prices
GET /v1/afina/prices
DELETE /v1/afina/prices/{model:path}
POST /v1/organization/projects
GET /v1/organization/projects
GET /v1/organization/projects/{project_id}
POST /v1/organization/projects/{project_id}
POST /v1/organization/projects/{project_id}/archive
GET /v1/organization/projects/{project_id}/api_keys
GET /v1/organization/projects/{project_id}/api_keys/{key_id}
POST /v1/organization/projects/{project_id}/api_keys/{key_id}
DELETE /v1/organization/projects/{project_id}/api_keys/{key_id}
POST /v1/organization/projects/{project_id}/service_accounts
GET /v1/organization/projects/{project_id}/service_accounts
GET /v1/organization/projects/{project_id}/service_accounts/{account_id}
POST /v1/organization/projects/{project_id}/service_accounts/{account_id}
DELETE /v1/organization/projects/{project_id}/service_accounts/{account_id}
POST /v1/organization/projects/{project_id}/service_accounts/{account_id}/api_keys
POST /v1/organization/admin_api_keys
GET /v1/organization/admin_api_keys
GET /v1/organization/admin_api_keys/{key_id}
DELETE /v1/organization/admin_api_keys/{key_id}
"""
NEEDS = {
    tuple(line.split()): role
    for role, lines in (("viewer", VIEWER), ("member", MEMBER), ("owner", OWNER))
    for line in lines.strip().splitlines()
}
RANK = ("viewer", "member", "owner")


def routes() -> list[tuple[str, str]]:
    """Every verb and path that the application answers."""
    contexts = iter_route_contexts(create_app(Settings()).routes)
    return [(method, route.path or "") for route in contexts for method in sorted(route.methods or ())]


def ask(client: TestClient, method: str, path: str, secret: str | None):
    """A request with nothing in it, whose ids name nothing."""
    path = re.sub(r"\{[a-z_:]+\}", "missing", path)
    headers = {"authorization": f"Bearer {secret}"} if secret else {"authorization": ""}
    return client.request(method, path, headers=headers)


def test_every_route_has_its_line_in_the_matrix():
    assert set(routes()) - OPEN == set(NEEDS)


def test_a_key_is_refused_from_when_it_is_revoked_whoever_did_it(
    client: TestClient, settings: Settings, database: Database, project: str, new_key: Callable[..., str]
):
    secret = new_key(project, "member")
    assert [ask(client, "GET", "/v1/files", secret).status_code for _ in range(3)] == [200] * 3
    elsewhere = Database(settings.database)  # as another process has it
    with elsewhere.system(read=True) as system:
        key = keys.find(system, secret)
    assert key is not None
    with elsewhere.scope(project) as scope:
        keys.revoke(scope, key.id)
    elsewhere.close()
    assert ask(client, "GET", "/v1/files", secret).json()["error"]["code"] == "invalid_api_key"


def test_a_key_that_was_good_a_moment_ago_expires(
    client: TestClient, project: str, new_key: Callable[..., str]
):
    secret = new_key(project, "member", expires_at=int(time.time()) + 2)
    assert ask(client, "GET", "/v1/files", secret).status_code == 200
    until(
        lambda: ask(client, "GET", "/v1/files", secret).json(),
        lambda reply: reply.get("error", {}).get("code") == "expired_api_key",
        what="the key has expired",
    )


def test_no_key_is_remembered_beyond_its_end(database: Database, project: str, new_key: Callable[..., str]):
    ends, callers = int(time.time()) + 1000, Callers(database)
    secret = new_key(project, "member", expires_at=ends)
    asked = time.time() - 0.002  # SQLite tells milliseconds
    assert callers.look_up(secret).expires_in <= ends - asked


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
    assert entries[2:] == [
        ("key.created", made, owner),
        ("key.revoked", made, owner),
        ("file.created", file, owner),
    ]


@pytest.mark.parametrize(
    "body", [{}, {"name": ""}, {"name": "a" * 65}, {"name": "<b>"}, {"name": "a", "role": "god"}]
)
def test_a_key_needs_a_plain_name_and_a_known_role(client: TestClient, body: dict):
    assert client.post("/v1/afina/keys", json=body).status_code == 400
