"""Batches as clients make, read and cancel them; what becomes of them is for the worker's tests."""

import re
from collections.abc import Callable

import openai
import pytest
from fastapi.testclient import TestClient

URL = "/v1/chat/completions"
LINE = (
    b'{"custom_id": "a", "method": "POST", "url": "/v1/chat/completions", "body": {"model": "afina-tiny"}}\n'
)


def wanted(file: str, **fields: object) -> dict[str, object]:
    return {"input_file_id": file, "endpoint": URL, "completion_window": "24h", **fields}


@pytest.fixture
def file(upload: Callable[..., dict]) -> str:
    return upload(LINE, purpose="batch")["id"]


def make(client: TestClient, file: str, **fields: object) -> dict:
    reply = client.post("/v1/batches", json=wanted(file, **fields))
    assert reply.status_code == 200, reply.text
    return reply.json()


def test_a_batch_has_openais_shape(client: TestClient, file: str):
    made = make(client, file, metadata={"night": "1"})
    moment = made["created_at"]
    assert re.fullmatch(r"batch_\w{24}", made.pop("id"))
    details = {"input_tokens_details": {"cached_tokens": 0}, "output_tokens_details": {"reasoning_tokens": 0}}
    stages = ("in_progress", "finalizing", "completed", "failed", "expired", "cancelling", "cancelled")
    assert made == {
        "object": "batch",
        "endpoint": URL,
        "model": None,
        "errors": None,
        "input_file_id": file,
        "completion_window": "24h",
        "status": "validating",
        "output_file_id": None,
        "error_file_id": None,
        "created_at": moment,
        "expires_at": moment + 24 * 3600,
        **{f"{stage}_at": None for stage in stages},
        "request_counts": {"total": 0, "completed": 0, "failed": 0},
        "usage": {"input_tokens": 0, "output_tokens": 0, "total_tokens": 0, **details},
        "metadata": {"night": "1"},
    }


def test_the_official_client_round_trip(official: openai.OpenAI):
    file = official.files.create(file=("in.jsonl", LINE), purpose="batch")
    made = [
        official.batches.create(
            input_file_id=file.id,
            endpoint="/v1/responses",
            completion_window="24h",
            output_expires_after={"anchor": "created_at", "seconds": 3600},
        )
        for _ in range(3)
    ]
    assert [batch.id for batch in official.batches.list(limit=1)] == [batch.id for batch in made[::-1]]
    assert official.batches.retrieve(made[0].id) == made[0]
    ended = official.batches.cancel(made[0].id)
    assert ended.status == "cancelling" and ended.cancelling_at is not None
    assert official.batches.cancel(made[0].id).status == "cancelling"
    with pytest.raises(openai.BadRequestError, match="in use by the batch"):
        official.files.delete(file.id)


def test_a_create_that_is_sent_again_is_one_batch(client: TestClient, file: str):
    first = make(client, file)
    again = client.post("/v1/batches", json=wanted(file), headers={"x-stainless-retry-count": "1"})
    assert again.json()["id"] == first["id"] and again.headers["idempotent-replayed"] == "true"
    assert make(client, file)["id"] != first["id"]


@pytest.mark.parametrize(
    ("fields", "param", "code"),
    [
        ({"endpoint": "/v1/images/generations"}, "endpoint", "invalid_value"),
        ({"endpoint": None}, "endpoint", "invalid_value"),
        ({"completion_window": "1h"}, "completion_window", "invalid_value"),
        ({"input_file_id": "file-none"}, "input_file_id", "invalid_value"),
        ({"input_file_id": 1}, "input_file_id", "invalid_type"),
        ({"metadata": {"a": 1}}, "metadata.a", "invalid_type"),
        (
            {"output_expires_after": {"anchor": "created_at", "seconds": 1}},
            "output_expires_after.seconds",
            "invalid_value",
        ),
        ({"output_expires_after": {"seconds": 3600}}, "output_expires_after.anchor", None),
        ({"priority": 1}, "priority", "unknown_parameter"),
    ],
)
def test_a_batch_that_cannot_be(
    refusing: TestClient, fields: dict[str, object], param: str, code: str | None
):
    reply = refusing.post("/v1/batches", json=wanted("file-none") | fields)
    error = reply.json()["error"]
    assert reply.status_code == 400
    assert (error["param"], error["code"]) == (param, code or "missing_required_parameter")


def test_a_file_of_another_purpose_is_refused(client: TestClient, upload: Callable[..., dict]):
    reply = client.post("/v1/batches", json=wanted(upload(LINE)["id"]))
    assert (reply.status_code, reply.json()["error"]["param"]) == (400, "input_file_id")
    assert "purpose 'batch'" in reply.json()["error"]["message"]


def test_another_projects_batch_is_not_there(
    client: TestClient, file: str, other_project: str, new_key: Callable[..., str]
):
    batch = make(client, file)["id"]
    stranger = {"authorization": f"Bearer {new_key(other_project)}"}
    for name in (batch, "batch_none"):
        for reply in (
            client.get(f"/v1/batches/{name}", headers=stranger),
            client.post(f"/v1/batches/{name}/cancel", headers=stranger),
        ):
            assert reply.status_code == 404
            assert reply.json()["error"]["message"] == f"No batch found with id '{name}'."
    assert client.get("/v1/batches", headers=stranger).json()["data"] == []
    assert client.post("/v1/batches", json=wanted(file), headers=stranger).status_code == 400


def test_lists_take_what_the_official_suite_sends(client: TestClient, file: str):
    make(client, file)
    assert len(client.get("/v1/batches?limit=0").json()["data"]) == 1
    assert client.get("/v1/batches?after=string").json()["data"] == []
    assert client.get("/v1/batches?limit=101").status_code == 400
