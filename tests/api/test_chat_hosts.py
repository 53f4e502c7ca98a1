"""Chat when hosts come late, die under a reply, or are left by their caller."""

import threading
from dataclasses import replace

import openai
import pytest
from fastapi.testclient import TestClient

from afina.api.app import create_app
from afina.api.rooms import Rooms
from afina.errors import FormTooComplex, NotFinite
from afina.settings import Settings
from afina.store import hosts
from afina.store.database import Database

CHAT = "/v1/chat/completions"
OWNER = {"authorization": "Bearer sk-owner"}
HI = [{"role": "user", "content": "Hi"}]


def test_no_host_in_time(settings: Settings, database: Database):
    app = create_app(replace(settings, host_start_seconds=0.5))
    with TestClient(app, headers=OWNER) as client:
        for stream in (False, True):
            reply = client.post(CHAT, json={"model": "afina-tiny", "messages": HI, "stream": stream})
            assert (reply.status_code, reply.json()["error"]["code"]) == (503, "model_loading")
            assert int(reply.headers["retry-after"]) > 0
    with database.system() as system:
        assert hosts.wanted(system, within_seconds=60) == ["afina-tiny"], "the worker is told"


@pytest.mark.parametrize("path", [CHAT, "/v1/responses"])
def test_without_workers_nobody_is_waited_for(settings: Settings, path: str):
    alone = replace(settings, workers=0, host_start_seconds=3600)
    body = (
        {"model": "afina-tiny", "input": "Hi"}
        if "responses" in path
        else {"model": "afina-tiny", "messages": HI}
    )
    with TestClient(create_app(alone), headers=OWNER) as client:
        reply = client.post(path, json=body)
    error = reply.json()["error"]
    assert (reply.status_code, error["code"]) == (503, "model_not_loaded") and "--workers 0" in error[
        "message"
    ]
    assert reply.headers["x-should-retry"] == "false"


def test_without_workers_a_host_that_is_there_answers(played, settings: Settings):
    with TestClient(create_app(replace(settings, workers=0)), headers=OWNER) as client:
        assert client.post(CHAT, json={"model": "afina-tiny", "messages": HI}).status_code == 200


def test_a_host_that_comes_later_is_waited_for(played, client: TestClient, database: Database):
    with database.system(read=True) as system:
        address = hosts.address(system, "afina-tiny")
    assert address
    with database.system() as system:
        hosts.gone(system, "afina-tiny", "test")
        hosts.starting(system, "afina-tiny", "test")
        hosts.ready(system, "afina-tiny", "test", address="unix:/nowhere/at.all", pid=1)

    def come() -> None:
        with database.system() as system:
            hosts.ready(system, "afina-tiny", "test", address=address, pid=1)

    timer = threading.Timer(0.3, come)
    timer.start()
    assert client.post(CHAT, json={"model": "afina-tiny", "messages": HI}).status_code == 200
    timer.join()
    rooms: Rooms = client.app.state.rooms  # type: ignore[attr-defined]
    assert list(rooms.router.hosts.clients) == [address], "the client of the host that is gone is closed"


def test_a_host_that_dies_is_asked_again_for_a_whole_reply(played, client: TestClient):
    played.deaths = 1
    assert client.post(CHAT, json={"model": "afina-tiny", "messages": HI}).status_code == 200
    played.deaths = 2
    reply = client.post(CHAT, json={"model": "afina-tiny", "messages": HI})
    assert (reply.status_code, reply.json()["error"]["code"]) == (503, "model_unavailable")


def test_a_host_that_dies_ends_a_stream_with_an_error(played, official: openai.OpenAI, client: TestClient):
    played.deaths = 1
    reply = client.post(CHAT, json={"model": "afina-tiny", "messages": HI, "stream": True})
    assert (
        reply.status_code == 200
        and "[DONE]" not in reply.text
        and '"code": "model_unavailable"' in reply.text
    )
    played.deaths = 1
    said = []
    with pytest.raises(openai.APIError):
        for chunk in official.chat.completions.create(model="afina-tiny", messages=HI, stream=True):
            said.append(chunk.choices[0].delta.content)
    assert "".join(said) == "One "


def test_who_leaves_a_stream_stops_it(played, official: openai.OpenAI):
    played.endless = True
    stream = official.chat.completions.create(model="afina-tiny", messages=HI, stream=True)
    for _ in range(3):
        next(stream)
    stream.close()
    assert played.left.wait(5), "the generation went on"


def test_who_leaves_before_a_whole_reply_stops_it(played, official: openai.OpenAI):
    played.endless = True
    with pytest.raises(openai.APITimeoutError):
        official.chat.completions.create(model="afina-tiny", messages=HI, timeout=0.5)
    assert played.left.wait(5), "the generation went on"


SCHEMA = {"type": "json_schema", "json_schema": {"name": "n", "schema": {"type": "object"}}}
TOOLS = {"tools": [{"type": "function", "function": {"name": "f"}}], "tool_choice": "required"}


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    ("fields", "param"), [({"response_format": SCHEMA}, "response_format"), (TOOLS, "tools")]
)
def test_a_form_that_grows_too_complex_is_a_400(
    played, client: TestClient, fields: dict, param: str, stream: bool
):
    played.refusal = FormTooComplex("It has grown.")
    body = {"model": "afina-tiny", "messages": HI, "stream": stream, **fields}
    reply = client.post(CHAT, json=body)
    assert (reply.status_code, reply.json()["error"]["param"]) == (400, param)


def test_in_the_middle_of_a_stream_it_is_the_last_event(played, client: TestClient):
    played.refusal, played.words = FormTooComplex("It has grown."), 2
    body = {"model": "afina-tiny", "messages": HI, "stream": True, "response_format": SCHEMA}
    reply = client.post(CHAT, json=body)
    assert reply.status_code == 200 and "[DONE]" not in reply.text
    assert "One " in reply.text and '"param": "response_format"' in reply.text.split("\n\n")[-2]


@pytest.mark.parametrize("stream", [False, True])
def test_a_model_that_is_broken_is_not_asked_again(played, client: TestClient, stream: bool):
    played.refusal = NotFinite("Not finite.")
    reply = client.post(CHAT, json={"model": "afina-tiny", "messages": HI, "stream": stream})
    assert (reply.status_code, reply.json()["error"]["code"]) == (503, "model_unavailable")
    assert reply.headers["x-should-retry"] == "false"
