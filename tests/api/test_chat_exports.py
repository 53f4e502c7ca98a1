"""Stored chats as a training file: which become examples, and what an example says."""

import json
from collections.abc import Callable
from dataclasses import replace

import pytest
from fastapi.testclient import TestClient

from afina.api.app import create_app
from afina.data import chat_format
from afina.settings import Settings

CHATS = "/v1/chat/completions"
EXPORTS = "/v1/afina/chat_exports"
HI = [{"role": "user", "content": "¿Qué tal?"}]
TOOL = {"type": "function", "function": {"name": "weather", "parameters": {"type": "object"}}}


def store(client: TestClient, **fields) -> str:
    body = {"model": "afina-tiny", "messages": HI, "store": True, **fields}
    reply = client.post(CHATS, json=body)
    assert reply.status_code == 200, reply.text
    return reply.json()["id"]


def export(client: TestClient, **fields) -> dict:
    reply = client.post(EXPORTS, json=fields)
    assert reply.status_code == 200, reply.text
    return reply.json()


def rows(client: TestClient, made: dict) -> list[dict]:
    text = client.get(f"/v1/files/{made['file']['id']}/content").text
    return [json.loads(line) for line in text.splitlines()]


def test_each_chat_becomes_an_example(played, client: TestClient):
    store(client)
    before = [{"role": "system", "content": "Be brief."}, *HI, {"role": "assistant", "content": "Bien."}]
    store(client, messages=[*before, *HI], tools=[TOOL], parallel_tool_calls=True)
    made = export(client)
    assert (made["object"], made["examples"]) == ("afina.chat_export", 2)
    assert made["left_out"] == {"cut_short": 0, "unfit": 0}
    assert made["file"]["purpose"] == "fine-tune" and made["file"]["filename"] == "stored-chats.jsonl"
    answer = {"role": "assistant", "content": played.text}
    found = rows(client, made)
    assert found[0] == {"messages": [*HI, answer]}
    known = {"role": "assistant", "content": "Bien.", "weight": 0}
    assert found[1] == {
        "messages": [*before[:2], known, *HI, answer],
        "tools": [TOOL],
        "parallel_tool_calls": True,
    }
    assert all(not list(chat_format.check(row)) for row in found)


def test_a_call_is_learnt_as_a_call(played, client: TestClient):
    played.text = '<tool_call>\n{"name": "weather", "arguments": {"city": "Málaga"}}\n</tool_call>'
    store(client, tools=[TOOL])
    store(client, functions=[TOOL["function"]])
    first, second = rows(client, export(client))
    (call,) = first["messages"][-1]["tool_calls"]
    assert call["function"] == {"name": "weather", "arguments": '{"city": "Málaga"}'}
    assert second["messages"][-1]["function_call"] == call["function"] and second["functions"]


def test_a_file_of_a_choice(played, client: TestClient):
    store(client, metadata={"set": "a"})
    store(client, metadata={"set": "b"}, model="gpt-4o-mini")
    assert export(client, metadata={"set": "a"})["examples"] == 1
    made = export(client, model="gpt-4o-mini", filename="mini.jsonl")
    assert (made["examples"], made["file"]["filename"]) == (1, "mini.jsonl")
    assert made["file"]["id"] in [file["id"] for file in client.get("/v1/files").json()["data"]]


def test_more_chats_than_a_page_are_all_there(played, client: TestClient, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("afina.api.chat_exports.AT_ONCE", 2)
    for number in range(5):
        store(client, messages=[{"role": "user", "content": str(number)}])
    found = rows(client, export(client))
    assert [row["messages"][0]["content"] for row in found] == list("01234")


def test_what_is_no_example_is_left_out_and_counted(played, client: TestClient):
    store(client, max_tokens=1)
    store(client, messages=[{"role": "user", "content": [{"type": "refusal", "refusal": "No."}]}])
    reply = client.post(EXPORTS, json={})
    assert (reply.status_code, reply.json()["error"]["code"]) == (400, "no_examples")
    assert "(1 cut short, 1 that training would refuse)" in reply.json()["error"]["message"]
    store(client)
    made = export(client)
    assert (made["examples"], made["left_out"]) == (1, {"cut_short": 1, "unfit": 1})


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"metadata": {"k": 5}}, "metadata.k"),
        ({"model": ""}, "model"),
        ({"filename": ""}, "filename"),
        ({"limit": 5}, "limit"),
    ],
)
def test_an_export_that_cannot_be(refusing: TestClient, fields: dict, param: str):
    reply = refusing.post(EXPORTS, json=fields)
    assert (reply.status_code, reply.json()["error"]["param"]) == (400, param)


def test_nothing_stored_is_nothing_to_export(refusing: TestClient):
    before = refusing.get("/v1/files").json()
    reply = refusing.post(EXPORTS, json={"model": "afina-tiny"})
    assert (reply.status_code, reply.json()["error"]["code"]) == (400, "no_examples")
    assert refusing.get("/v1/files").json() == before


def test_a_file_that_would_be_too_large(played, settings: Settings):
    small = create_app(replace(settings, max_file_bytes=50))
    with TestClient(small, headers={"authorization": "Bearer sk-owner"}) as client:
        store(client)
        reply = client.post(EXPORTS, json={})
        assert reply.status_code == 400 and "more than 50 bytes" in reply.json()["error"]["message"]
        assert client.get("/v1/files").json()["data"] == []


def test_a_viewer_and_a_stranger_export_nothing(
    played, client: TestClient, project: str, other_project: str, new_key: Callable[..., str]
):
    store(client)
    for where, role, status in ((project, "viewer", 403), (other_project, "owner", 400)):
        headers = {"authorization": f"Bearer {new_key(where, role)}"}
        assert client.post(EXPORTS, json={}, headers=headers).status_code == status
