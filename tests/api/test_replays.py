"""What is created twice with one Idempotency-Key, or by a client's own retry, is one object."""

from collections.abc import Callable

import pytest
from fastapi.testclient import TestClient

from afina import ids
from afina.store import keys
from afina.store.database import Database
from afina.store.keys import Role

CHAT = {"model": "afina-tiny", "messages": [{"role": "user", "content": "Hi"}], "store": True}
WEBHOOK = {"name": "w", "url": "https://example.com", "event_types": ["batch.failed"]}
ACCOUNTS = "/v1/organization/projects/PROJECT/service_accounts"
# Where it is made, the body that makes it, what another body says, and whether all of its kind are listed there.
CREATES = {
    "/v1/afina/keys": ({"name": "robot"}, {"name": "b"}, True),
    "/v1/organization/admin_api_keys": ({"name": "robot"}, {"name": "b"}, True),
    "/v1/organization/projects": ({"name": "Ward 7"}, {"name": "b"}, True),
    ACCOUNTS: ({"name": "robot"}, {"name": "b"}, True),
    f"{ACCOUNTS}?alone": ({"name": "robot", "create_service_account_only": True}, {"name": "b"}, True),
    "/v1/webhook_endpoints": (WEBHOOK, {"name": "b"}, True),
    "/v1/conversations": ({"items": [{"role": "user", "content": "Hi"}]}, {"metadata": {"a": "b"}}, False),
    "/v1/chat/completions": (CHAT, {"user": "b"}, True),
    "/v1/responses": ({"input": "Hi"}, {"user": "b"}, False),
    "/v1/responses?background": ({"input": "Hi", "background": True}, {"user": "b"}, False),
    "/v1/afina/chat_exports": ({}, {"filename": "b.jsonl"}, False),
}


def asks(retries: int = 0, key: str | None = None) -> dict[str, str]:
    headers = {"x-stainless-retry-count": str(retries)}
    return headers if key is None else headers | {"idempotency-key": key}


@pytest.fixture
def send(client: TestClient, played, project: str) -> Callable[..., dict]:
    """Create by a path of the table; a chat is there to be exported."""

    def post(path: str, body: dict, headers: dict[str, str], status: int = 200) -> dict:
        reply = client.post(path.replace("PROJECT", project), json=body, headers=headers)
        assert reply.status_code == status, reply.text
        return reply.json() | {"replayed": reply.headers.get("idempotent-replayed")}

    post("/v1/chat/completions", CHAT, {})
    return post


def count(client: TestClient, path: str, project: str) -> int:
    return len(client.get(path.replace("PROJECT", project).partition("?")[0]).json()["data"])


@pytest.mark.parametrize("path", CREATES)
def test_one_key_makes_one_object(client: TestClient, send, project: str, path: str):
    body, other, listed = CREATES[path]
    first = send(path, body, asks(key="k"))
    before = count(client, path, project) if listed else 0
    again = send(path, body, asks(key="k"))
    assert (first.pop("replayed"), again.pop("replayed")) == (None, "true")
    assert again == first
    assert not listed or count(client, path, project) == before
    assert send(path, body | other, asks(key="k"), 400)["error"]["code"] == "idempotency_key_reused"
    assert send(path, body, asks(key="l"))["replayed"] is None
    assert not listed or count(client, path, project) == before + 1


@pytest.mark.parametrize("path", CREATES)
def test_a_retry_finds_what_its_first_attempt_made(client: TestClient, send, project: str, path: str):
    body, _, listed = CREATES[path]
    first, second = send(path, body, asks()), send(path, body, asks())
    before = count(client, path, project) if listed else 0
    again = send(path, body, asks(1))
    assert again.pop("replayed") == "true" and second.pop("replayed") is None
    assert again == second != first
    assert not listed or count(client, path, project) == before


@pytest.mark.parametrize("path", ["/v1/afina/keys", "/v1/organization/admin_api_keys", ACCOUNTS])
def test_a_secret_is_replayed_to_who_asked_for_it_and_stored_nowhere(
    client: TestClient,
    send,
    project: str,
    path: str,
    database: Database,
    new_key: Callable[..., str],
    settings,
):
    body = CREATES[path][0]
    made = send(path, body, asks(key="k"))
    found = made.get("api_key") or made
    secret = found.get("secret") or found["value"]
    assert client.get("/v1/files", headers={"authorization": f"Bearer {secret}"}).status_code == 200
    owner: Role = "owner"
    stranger = {"authorization": f"Bearer {new_key(project, owner)}"}
    refused = send(path, body, asks(key="k") | stranger, 400)
    assert refused["error"]["code"] == "idempotency_key_reused" and secret not in str(refused)
    assert not [file for file in settings.data.glob("afina.db*") if secret.encode() in file.read_bytes()]
    with database.system(read=True) as system:
        key = keys.find(system, secret)
    assert key is not None and key.project_id == project


def test_a_rotation_that_is_sent_again_is_one(client: TestClient, send):
    made = send("/v1/webhook_endpoints", WEBHOOK, {})
    path = f"/v1/webhook_endpoints/{made['id']}/rotate_secret"
    keep = {"keep_old_secret_active_for_24_hours": True}
    first = send(path, keep, asks())
    assert first["signing_secret"] != made["signing_secret"]
    assert send(path, keep, asks(1))["signing_secret"] == first["signing_secret"]
    assert send(path, keep, asks())["signing_secret"] != first["signing_secret"]


def test_a_second_key_of_an_account_is_one(client: TestClient, send, project: str):
    account = send(ACCOUNTS, {"name": "robot"}, {})["id"]
    path = f"{ACCOUNTS}/{account}/api_keys"
    first = send(path, {"name": "second"}, asks())
    assert send(path, {"name": "second"}, asks(2))["value"] == first["value"]
    listed = client.get(f"/v1/organization/projects/{project}/api_keys").json()["data"]
    assert [key["name"] for key in listed].count("second") == 1


def test_a_stream_is_replayed_event_by_event(client: TestClient, played):
    def stream(retries: int) -> str:
        body = {"input": "Hi", "stream": True}
        return client.post("/v1/responses", json=body, headers=asks(retries)).text

    first = stream(0)
    assert "response.completed" in first and stream(1) == first and len(played.asked) == 1
    assert stream(0) != first


def test_a_retry_adds_no_turn_to_a_conversation(client: TestClient, played):
    talk = client.post("/v1/conversations", json={}).json()["id"]
    body = {"input": "Hi", "conversation": talk}
    for retries in range(3):
        client.post("/v1/responses", json=body, headers=asks(retries))
    assert len(client.get(f"/v1/conversations/{talk}/items").json()["data"]) == 2


def test_what_is_not_stored_is_asked_again(client: TestClient, played):
    body = {"input": "Hi", "store": False}
    first, second = (client.post("/v1/responses", json=body, headers=asks(key="k")).json() for _ in range(2))
    assert first["id"] != second["id"]


def test_a_derived_key_looks_like_a_drawn_one_and_is_its_material_s():
    derived, drawn = ids.derived_api_key(b"a" * 64), ids.api_key()
    assert len(derived) == len(drawn) and derived.removeprefix("sk-afina-").isalnum()
    assert derived == ids.derived_api_key(b"a" * 64) != ids.derived_api_key(b"b" * 64)
