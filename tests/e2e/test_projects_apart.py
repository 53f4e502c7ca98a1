"""A second project on every route there is: it sees nothing of the first, and what is foreign looks missing."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
from fastapi.routing import iter_route_contexts

from afina.api.app import create_app
from afina.settings import Settings
from afina.store import keys, projects
from afina.store.database import Database
from afina_server import KEY, Server, ended, jsonl, rows, tune, until, upload

STRANGER = "sk-of-another-project-in-tests"
MISSING = {
    "file_id": "file-ThisOneNeverExistedAtAll0",
    "job_id": "ftjob-ThisOneNeverExistedAtAll0",
    "model": "ft:afina-tiny:personal::NeverWas",
    "key_id": "key_ThisOneNeverExistedAtAll0",
    "upload_id": "upload_ThisOneNeverExistedAtAll0",
    "batch_id": "batch_ThisOneNeverExistedAtAll0",
    "eval_id": "eval_ThisOneNeverExistedAtAll0",
    "run_id": "evalrun_ThisOneNeverExistedAtAll0",
    "output_item_id": "outputitem_ThisOneNeverExistedAtAll0",
    "completion_id": "chatcmpl-ThisOneNeverExistedAtAll0",
    "response_id": "resp_ThisOneNeverExistedAtAll0",
    "conversation_id": "conv_ThisOneNeverExistedAtAll0",
    "item_id": "msg_ThatNeverExistedAnywhere0",
    "endpoint_id": "we_ThisOneNeverExistedAtAll0",
    "permission_id": "cp_ThisOneNeverExistedAtAll0",
}
ROWS = {"type": "jsonl", "source": {"type": "file_content", "content": [{"item": {"said": "yes"}}]}}
EVAL = {
    "data_source_config": {
        "type": "custom",
        "item_schema": {"type": "object", "properties": {"said": {"type": "string"}}, "required": ["said"]},
    },
    "testing_criteria": [
        {
            "type": "string_check",
            "name": "yes",
            "input": "{{item.said}}",
            "reference": "yes",
            "operation": "eq",
        }
    ],
}
# What is of the whole organisation is for its administrators.
ADMIN = ("/v1/organization/", "/v1/afina/prices")
BODIES = {
    "/v1/uploads/{upload_id}/complete": {"part_ids": ["part_a"]},
    "/v1/chat/completions/{completion_id}": {"metadata": {"seen": "yes"}},
    "/v1/conversations/{conversation_id}": {"metadata": {"seen": "yes"}},
    "/v1/conversations/{conversation_id}/items": {"items": [{"role": "user", "content": "Hi"}]},
    "/v1/fine_tuning/checkpoints/{model:path}/permissions": {"project_ids": ["proj_a"]},
    "/v1/evals/{eval_id}": {"name": "theirs"},
    "/v1/evals/{eval_id}/runs": {"data_source": ROWS},
    "/v1/webhook_endpoints/{endpoint_id}": {"name": "theirs"},
    "/v1/webhook_endpoints/{endpoint_id}/rotate_secret": {},
    "/v1/webhook_endpoints/{endpoint_id}/test": {"event_type": "batch.completed"},
}
HOOK = {"name": "mine", "url": "https://example.com/hook", "event_types": ["batch.completed"]}


@dataclass(frozen=True)
class Route:
    """One verb of one path of the API."""

    method: str
    path: str

    @property
    def names(self) -> list[str]:
        return re.findall(r"{(\w+)(?::path)?}", self.path)

    def url(self, ids: dict[str, str]) -> str:
        return re.sub(r"{(\w+)(?::path)?}", lambda match: ids[match[1]], self.path)


def every_route() -> list[Route]:
    app = create_app(Settings(data=Path("never-opened")))
    return [
        Route(method, route.path)
        for route in iter_route_contexts(app.routes)
        if route.path and route.path.startswith("/v1/")
        for method in sorted(route.methods or ())
        if method != "HEAD"
    ]


ROUTES = every_route()
OF_PROJECTS = [route for route in ROUTES if not route.path.startswith(ADMIN)]
OF_ADMINISTRATORS = [route for route in ROUTES if route.path.startswith(ADMIN)]
OF_ONE = [route for route in OF_PROJECTS if route.names]
LISTS = [route for route in OF_PROJECTS if not route.names and route.method == "GET"]
ids_of_route = [f"{route.method} {route.path}" for route in OF_ONE]


@pytest.fixture(scope="module")
def owned(server: Server) -> dict[str, str]:
    """One of everything that can be named, in the first project."""
    with server.client() as client:
        file = upload(client, jsonl(rows(10))).id
        job = ended(client, tune(client, file, n_epochs=1, batch_size=8).id)
        assert job.fine_tuned_model is not None
        asked = [{"role": "user", "content": "Who is number 3?"}]
        chat = client.chat.completions.create(model="afina-tiny", messages=asked, max_tokens=2, store=True)
        response = client.responses.create(model="afina-tiny", input="Hello", max_output_tokens=16)
        line = {"custom_id": "a", "method": "POST", "url": "/v1/moderations", "body": {"input": "Hello"}}
        lines = client.files.create(file=("batch.jsonl", jsonl([line])), purpose="batch")
        batch = client.batches.create(
            input_file_id=lines.id, endpoint="/v1/moderations", completion_window="24h"
        )
        parts = client.uploads.create(
            bytes=9, filename="a.jsonl", mime_type="application/jsonl", purpose="fine-tune"
        )
        conversation = client.conversations.create(items=[{"role": "user", "content": "Hello"}])
        item = client.conversations.items.list(conversation.id).data[0].id
        graded = client.evals.create(**EVAL)
        run = client.evals.runs.create(graded.id, data_source=ROWS)
        items = until(
            lambda: client.evals.runs.output_items.list(run.id, eval_id=graded.id).data,
            bool,
            what="the eval has an output item",
        )
    hook = httpx.post(f"{server.url}/v1/webhook_endpoints", json=HOOK, headers=bearer(KEY)).json()["id"]
    key = httpx.post(
        f"{server.url}/v1/afina/keys", json={"name": "second", "role": "owner"}, headers=bearer(KEY)
    ).json()["id"]
    return {
        "file_id": file,
        "job_id": job.id,
        "model": job.fine_tuned_model,
        "key_id": key,
        "upload_id": parts.id,
        "batch_id": batch.id,
        "eval_id": graded.id,
        "run_id": run.id,
        "output_item_id": items[0].id,
        "completion_id": chat.id,
        "response_id": response.id,
        "conversation_id": conversation.id,
        "item_id": item,
        "endpoint_id": hook,
        "permission_id": "cp_AnotherThatNeverExisted000",
    }


@pytest.fixture(scope="module")
def stranger(server: Server) -> Iterator[httpx.Client]:
    """An owner of a second project of the same organisation."""
    database = Database(Settings(data=server.data).database)
    with database.system() as system:
        first = projects.every(system)[0]
        second = projects.create(system, first.organization_id, "Second")
    with database.scope(second.id) as scope:
        keys.insert(scope, STRANGER, name="stranger", role="owner")
    database.close()
    with httpx.Client(base_url=server.url, headers=bearer(STRANGER), timeout=60) as client:
        yield client


def bearer(secret: str) -> dict[str, str]:
    return {"authorization": f"Bearer {secret}"}


def shown(reply: httpx.Response, ids: dict[str, str]) -> tuple[int, str]:
    """Status and body, with the ids that were sent taken out."""
    text = reply.text
    for name, value in ids.items():
        text = text.replace(value, f"<{name}>")
    return reply.status_code, text


def test_there_is_an_example_for_every_parameter_of_every_route() -> None:
    assert {name for route in OF_ONE for name in route.names} == set(MISSING)
    assert len(OF_ONE) >= 10 and len(LISTS) >= 4


@pytest.mark.parametrize("route", OF_ONE, ids=ids_of_route)
def test_a_foreign_id_is_a_missing_id(
    stranger: httpx.Client, owned: dict[str, str], server: Server, route: Route
) -> None:
    body = BODIES.get(route.path) if route.method == "POST" else None
    foreign = stranger.request(route.method, route.url(owned), json=body)
    missing = stranger.request(route.method, route.url(MISSING), json=body)
    assert shown(foreign, owned) == shown(missing, MISSING)
    assert foreign.status_code == 404
    own = httpx.get(f"{server.url}{route.url(owned)}", headers=bearer(KEY))
    assert own.status_code in (200, 405)


@pytest.mark.parametrize("route", LISTS, ids=lambda route: route.path)
def test_lists_hold_nothing_of_another_project(
    stranger: httpx.Client, owned: dict[str, str], route: Route
) -> None:
    reply = stranger.get(route.path)
    assert reply.status_code == 200
    assert not any(value in reply.text for value in owned.values())
    page = reply.json()
    if route.path == "/v1/afina/keys":
        assert len(page["data"]) == 1
    elif route.path not in ("/v1/models", "/v1/webhook_event_types"):
        assert page["data"] == [] and page["has_more"] is False


@pytest.mark.parametrize("route", OF_ADMINISTRATORS, ids=lambda route: f"{route.method} {route.path}")
def test_an_owner_elsewhere_is_no_administrator(stranger: httpx.Client, route: Route) -> None:
    reply = stranger.request(route.method, re.sub(r"{\w+}", "any", route.path))
    assert (reply.status_code, reply.json()["error"]["code"]) == (403, "insufficient_permissions")


@pytest.mark.parametrize("route", ROUTES, ids=lambda route: f"{route.method} {route.path}")
def test_no_route_answers_without_a_valid_key(server: Server, route: Route) -> None:
    url = server.url + re.sub(r"{\w+(?::path)?}", "any", route.path)
    assert httpx.request(route.method, url).status_code == 401
    wrong = httpx.request(route.method, url, headers=bearer("sk-nobodys"))
    assert (wrong.status_code, wrong.json()["error"]["code"]) == (401, "invalid_api_key")
    assert "sk-nobodys" not in wrong.text


@pytest.mark.parametrize("place", ["model", "training_file", "validation_file"])
def test_a_foreign_id_in_a_job_is_a_missing_id(
    stranger: httpx.Client, owned: dict[str, str], place: str
) -> None:
    mine = stranger.post(
        "/v1/files", files={"file": ("own.jsonl", jsonl(rows(10)))}, data={"purpose": "fine-tune"}
    )
    name = "model" if place == "model" else "file_id"
    sound = {"model": "afina-tiny", "training_file": mine.json()["id"]}
    foreign = stranger.post("/v1/fine_tuning/jobs", json={**sound, place: owned[name]})
    missing = stranger.post("/v1/fine_tuning/jobs", json={**sound, place: MISSING[name]})
    assert shown(foreign, owned) == shown(missing, MISSING)
    assert foreign.status_code == 400
    assert foreign.json()["error"]["param"] == place


def test_a_foreign_model_does_not_answer(stranger: httpx.Client, owned: dict[str, str]) -> None:
    def ask(model: str) -> httpx.Response:
        body = {"model": model, "messages": [{"role": "user", "content": "Hello"}]}
        return stranger.post("/v1/chat/completions", json=body)

    assert shown(ask(owned["model"]), owned) == shown(ask(MISSING["model"]), MISSING)
    assert ask(owned["model"]).status_code == 404
