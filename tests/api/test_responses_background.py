"""Responses in the background: queued, made by a worker, cancelled, and followed by a stream."""

import threading
from collections.abc import Iterator

import openai
import pytest
from fastapi.testclient import TestClient
from sqlalchemy import text

from afina.blobs import Blobs
from afina.serving.adapters import Adapters
from afina.settings import Settings
from afina.store import keys, work
from afina.store.database import Database
from afina.worker.context import Context, Hold
from afina.worker.executors.local import LocalExecutor
from afina.worker.hosts import Hosts
from afina.worker.respond import give_up, respond

RESPONSES = "/v1/responses"
ASK = {"model": "afina-tiny", "input": "Hi", "background": True}


@pytest.fixture
def context(settings: Settings, database: Database) -> Iterator[Context]:
    hosts = Hosts(settings, database, LocalExecutor(settings), "test")
    blobs = Blobs(settings.data / "blobs")
    yield Context(settings, database, blobs, Adapters(blobs), hosts, threading.Event())
    hosts.close()


def claim(database: Database) -> Hold | None:
    with database.system() as system:
        found = work.claim(system, "test", ["respond"], lease_seconds=600)
    return None if found is None else Hold(found)


def queued(client: TestClient, **more: object) -> str:
    made = client.post(RESPONSES, json={**ASK, **more}).json()
    assert (made["status"], made["background"], made["output"]) == ("queued", True, [])
    return made["id"]


def test_a_worker_makes_it(played, official: openai.OpenAI, context: Context, database: Database):
    made = official.responses.create(**ASK)
    hold = claim(database)
    assert hold and hold.claim.subject == made.id
    respond(context, hold)
    found = official.responses.retrieve(made.id)
    assert (found.status, found.output_text, found.id) == ("completed", "One two three four.", made.id)
    assert claim(database) is None
    assert official.responses.cancel(made.id) == found
    after = official.responses.create(model="afina-tiny", input="?", previous_response_id=made.id)
    assert after.usage.input_tokens > found.usage.input_tokens


def test_its_tokens_are_those_of_the_key_that_asked(
    played, client: TestClient, context: Context, database: Database, project: str
):
    queued(client)
    respond(context, claim(database))
    with database.system(read=True) as system:
        who = system.connection.execute(text("SELECT api_key_id FROM usage")).scalar_one()
    with database.read(project) as scope:
        assert keys.page(scope).data[0].id == who


def test_a_stream_follows_it(played, official: openai.OpenAI, context: Context, database: Database):
    events = iter(official.responses.create(**ASK, stream=True))
    first = next(events)
    respond(context, claim(database))
    rest = list(events)
    assert first.type == "response.created" and rest[-1].type == "response.completed"
    assert [event.sequence_number for event in [first, *rest]] == list(range(len(rest) + 1))
    again = official.responses.retrieve(first.response.id, stream=True, starting_after=3)
    assert list(again) == rest[3:]


def test_what_is_cancelled_is_not_made(played, client: TestClient, context: Context, database: Database):
    name = queued(client)
    hold = claim(database)
    for _ in range(2):
        assert client.post(f"{RESPONSES}/{name}/cancel").json()["status"] == "cancelled"
    respond(context, hold)
    assert played.asked == [] and claim(database) is None
    assert client.get(f"{RESPONSES}/{name}").json()["status"] == "cancelled"


def test_an_unfinished_one_is_not_gone_on_from(client: TestClient):
    reply = client.post(RESPONSES, json={"model": "afina-tiny", "previous_response_id": queued(client)})
    assert (reply.status_code, reply.json()["error"]["code"]) == (400, "previous_response_not_finished")


def test_what_cannot_be_made_fails(played, client: TestClient, context: Context, database: Database):
    long = queued(client, input="word " * 4000)
    respond(context, claim(database))
    failed = client.get(f"{RESPONSES}/{long}").json()
    assert failed["status"] == "failed" and "context length" in failed["error"]["message"]
    broken = queued(client)
    give_up(context, claim(database))
    assert client.get(f"{RESPONSES}/{broken}").json()["status"] == "failed"


def test_a_worker_that_drains_leaves_it_to_the_next(
    played, client: TestClient, context: Context, database: Database
):
    name = queued(client)
    played.endless = True
    context.draining.set()
    respond(context, claim(database))
    played.endless = False
    context.draining.clear()
    hold = claim(database)
    assert hold is not None
    respond(context, hold)
    assert client.get(f"{RESPONSES}/{name}").json()["status"] == "completed"
