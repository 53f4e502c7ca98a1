"""Webhook endpoints by the official client: made, changed, rotated, tried, gone; and what cannot be one."""

import openai
import pytest
from openai import BadRequestError, NotFoundError

from afina import deliveries
from afina.store import webhooks

URL = "https://example.com/hooks"
TYPES = ["fine_tuning.job.succeeded", "batch.completed"]


def made(official: openai.OpenAI, name: str = "hook", url: str = URL):
    return official.webhooks.create(name=name, url=url, event_types=TYPES)


def test_the_life_of_an_endpoint(official: openai.OpenAI):
    endpoint = made(official)
    assert endpoint.signing_secret.startswith("whsec_")
    assert endpoint.signing_secret_hint == f"whsec_...{endpoint.signing_secret[-4:]}"
    assert (endpoint.name, endpoint.url, endpoint.event_types) == ("hook", URL, TYPES)
    found = official.webhooks.retrieve(endpoint.id)
    assert "signing_secret" not in found.to_dict()
    assert found.updated_at == endpoint.created_at
    changed = official.webhooks.update(endpoint.id, name="other", event_types=["batch.failed"])
    assert (changed.name, changed.url, changed.event_types) == ("other", URL, ["batch.failed"])
    assert [one.id for one in official.webhooks.list()] == [endpoint.id]
    gone = official.webhooks.delete(endpoint.id)
    assert (gone.id, gone.deleted, gone.object) == (endpoint.id, True, "webhook_endpoint.deleted")
    assert list(official.webhooks.list()) == []
    for act in (official.webhooks.retrieve, official.webhooks.delete, official.webhooks.rotate_secret):
        with pytest.raises(NotFoundError):
            act(endpoint.id)


def test_lists_are_paged(official: openai.OpenAI):
    ids = [made(official, name=str(n)).id for n in range(5)]
    assert [one.id for one in official.webhooks.list(limit=2)] == ids[::-1]


def test_a_rotated_secret_may_stay_for_a_day(official: openai.OpenAI, database, project):
    first = made(official)
    second = official.webhooks.rotate_secret(first.id, keep_old_secret_active_for_24_hours=True)
    with database.read(project) as scope:
        endpoint = webhooks.get(scope, first.id)
    assert endpoint.old_secret_until is not None
    assert endpoint.secrets(endpoint.updated_at) == [second.signing_secret, first.signing_secret]
    assert endpoint.secrets(endpoint.old_secret_until) == [second.signing_secret]
    third = official.webhooks.rotate_secret(first.id)
    with database.read(project) as scope:
        endpoint = webhooks.get(scope, first.id)
    assert endpoint.secrets(endpoint.updated_at) == [third.signing_secret]


def test_a_sample_is_sent_at_once_and_its_answer_told(official: openai.OpenAI, monkeypatch):
    endpoint, sent = made(official), []

    async def send(url, address, body, headers):
        sent.append((body, headers))
        return 418

    async def resolve(place, *, trusted):
        return "8.8.8.8"

    monkeypatch.setattr(deliveries, "send", send)
    monkeypatch.setattr(deliveries, "resolve", resolve)
    result = official.webhooks.test(endpoint.id, event_type="batch.completed")
    assert (result.status_code, result.event_type, result.webhook_endpoint_id) == (
        418,
        "batch.completed",
        endpoint.id,
    )
    [(body, headers)] = sent
    assert official.webhooks.unwrap(body, headers, secret=endpoint.signing_secret).type == "batch.completed"


def test_a_sample_that_nobody_takes_is_a_400(official: openai.OpenAI, monkeypatch):
    async def resolve(place, *, trusted):
        raise OSError

    monkeypatch.setattr(deliveries, "resolve", resolve)
    with pytest.raises(BadRequestError) as refused:
        official.webhooks.test(made(official).id, event_type="batch.completed")
    assert refused.value.code == "webhook_unreachable"


def test_the_types_that_there_are(official: openai.OpenAI):
    assert {"fine_tuning.job.succeeded", "eval.run.canceled"} <= set(
        official.webhooks.event_types.list().data
    )


@pytest.mark.parametrize(
    ("change", "param"),
    [
        ({"url": "http://example.com"}, "url"),
        ({"url": "https://127.0.0.1/"}, "url"),
        ({"url": 7}, "url"),
        ({"event_types": []}, "event_types"),
        ({"event_types": ["video.completed"]}, "event_types[0]"),
        ({"event_types": ["batch.completed", "batch.completed"]}, "event_types"),
        ({"name": ""}, "name"),
        ({"name": "a\nb"}, "name"),
        ({"secret": "x"}, "secret"),
    ],
)
def test_what_is_no_endpoint(refusing, change, param):
    body = {"name": "hook", "url": URL, "event_types": TYPES} | change
    reply = refusing.post("/v1/webhook_endpoints", json=body)
    assert (reply.status_code, reply.json()["error"]["param"]) == (400, param)


def test_there_is_an_end_to_endpoints(client, monkeypatch):
    monkeypatch.setattr(webhooks, "MOST", 1)
    body = {"name": "hook", "url": URL, "event_types": TYPES}
    assert client.post("/v1/webhook_endpoints", json=body).status_code == 200
    assert "at most 1" in client.post("/v1/webhook_endpoints", json=body).json()["error"]["message"]


def test_who_may_and_whose_they_are(client, new_key, project, other_project):
    body = {"name": "hook", "url": URL, "event_types": TYPES}
    endpoint = client.post("/v1/webhook_endpoints", json=body).json()["id"]
    member = {"authorization": f"Bearer {new_key(project, 'member')}"}
    assert client.post("/v1/webhook_endpoints", json=body, headers=member).status_code == 403
    assert client.get(f"/v1/webhook_endpoints/{endpoint}", headers=member).status_code == 200
    stranger = {"authorization": f"Bearer {new_key(other_project)}"}
    missing = client.get("/v1/webhook_endpoints/we_none", headers=stranger).json()["error"]["message"]
    found = client.get(f"/v1/webhook_endpoints/{endpoint}", headers=stranger)
    assert (found.status_code, found.json()["error"]["message"]) == (
        404,
        missing.replace("we_none", endpoint),
    )
    assert client.get("/v1/webhook_endpoints", headers=stranger).json()["data"] == []
