"""Chats that a request had stored: what comes back is what was answered, until it is deleted."""

import itertools
from collections.abc import Callable

import openai
import pytest
from fastapi.testclient import TestClient

from afina.store import chats
from afina.store.failures import no_space

CHATS = "/v1/chat/completions"
HI = [{"role": "user", "content": "Hi"}]
TOOL = {"type": "function", "function": {"name": "weather", "parameters": {"type": "object"}}}
CALL = '<tool_call>\n{"name": "weather", "arguments": {"city": "Málaga"}}\n</tool_call>'


def ask(client: openai.OpenAI, **fields):
    return client.chat.completions.create(**{"model": "afina-tiny", "messages": HI, "store": True, **fields})


def parts(chat) -> dict:
    """What a reply says; beside it a stored one also tells what was asked."""
    fields = chat.to_dict()
    return {name: fields[name] for name in ("id", "object", "created", "model", "choices", "usage")}


@pytest.mark.parametrize("fields", [{}, {"n": 2}, {"tools": [TOOL]}, {"max_tokens": 2}, {"max_tokens": 0}])
def test_a_whole_reply_comes_back_as_it_was_answered(played, official: openai.OpenAI, fields: dict):
    played.text = CALL if "tools" in fields else played.text
    answered = ask(official, metadata={"set": "a"}, **fields)
    stored = official.chat.completions.retrieve(answered.id)
    assert parts(stored) == parts(answered) and stored.system_fingerprint == answered.system_fingerprint
    assert stored.metadata == {"set": "a"}


@pytest.mark.parametrize("usage", [False, True])
@pytest.mark.parametrize("fields", [{}, {"n": 2}, {"tools": [TOOL]}, {"functions": [TOOL["function"]]}])
def test_a_stream_is_stored_as_the_whole_reply_would_be(
    played, official: openai.OpenAI, fields: dict, usage: bool
):
    played.text = f"Let me see.\n{CALL}" if len(fields) and "n" not in fields else played.text
    whole = ask(official, **fields)
    chunks = list(ask(official, stream=True, stream_options={"include_usage": usage}, **fields))
    assert (chunks[-1].usage is not None) == usage
    stored = official.chat.completions.retrieve(chunks[0].id)
    expected, found = parts(whole), parts(stored)
    for choice in (*expected["choices"], *found["choices"]):
        for call in choice["message"].get("tool_calls") or []:
            call["id"] = "call"
    assert {**found, "id": "", "created": 0} == {**expected, "id": "", "created": 0}


def test_a_stream_with_log_probabilities_is_stored_with_them(random_weights: openai.OpenAI):
    fields = {"logprobs": True, "top_logprobs": 2, "max_tokens": 5, "seed": 3}
    whole = ask(random_weights, **fields)
    *_, last = ask(random_weights, stream=True, **fields)
    stored = random_weights.chat.completions.retrieve(last.id)
    assert stored.choices == whole.choices == random_weights.chat.completions.retrieve(whole.id).choices


def test_nothing_is_stored_unasked(played, official: openai.OpenAI):
    for stream in (False, True):
        for store in (False, None):
            reply = ask(official, store=store, stream=stream)
            identifier = {chunk.id for chunk in reply}.pop() if stream else reply.id
            with pytest.raises(openai.NotFoundError):
                official.chat.completions.retrieve(identifier)
    assert official.chat.completions.list().data == []


def test_a_stream_that_breaks_or_is_left_is_not_stored(played, client: TestClient, official: openai.OpenAI):
    played.deaths = 1
    reply = client.post(CHATS, json={"model": "afina-tiny", "messages": HI, "stream": True, "store": True})
    assert "[DONE]" not in reply.text
    played.endless = True
    stream = ask(official, stream=True)
    next(stream)
    stream.close()
    assert played.left.wait(5)
    assert client.get(CHATS).json()["data"] == []


def test_what_cannot_be_stored_is_not_answered(played, client: TestClient, monkeypatch: pytest.MonkeyPatch):
    def full(scope, chat):
        raise no_space()

    monkeypatch.setattr(chats, "insert", full)
    body = {"model": "afina-tiny", "messages": HI, "store": True}
    reply = client.post(CHATS, json=body)
    assert (reply.status_code, reply.json()["error"]["code"]) == (503, "insufficient_storage")
    assert reply.headers["x-should-retry"] == "false"
    streamed = client.post(CHATS, json={**body, "stream": True}).text
    assert '"code": "insufficient_storage"' in streamed and "[DONE]" not in streamed
    assert client.post(CHATS, json={**body, "store": False}).status_code == 200


def test_what_shaped_a_reply_stands_beside_it(played, client: TestClient):
    asked = {"temperature": 0.5, "top_p": 0.9, "seed": 7, "tools": [TOOL], "tool_choice": "auto"}
    body = {"model": "gpt-4o-mini", "messages": HI, "store": True, "user": "u", **asked}
    stored = client.get(f"{CHATS}/{client.post(CHATS, json=body).json()['id']}").json()
    shown = {**asked, "input_user": "u", "response_format": None, "metadata": {}, "model": "gpt-4o-mini"}
    assert {name: stored[name] for name in shown} == shown and "messages" not in stored


def test_lists_are_paged_and_filtered(played, official: openai.OpenAI, client: TestClient):
    names = [
        ask(official, model=model, metadata={"set": mark, "n": "1"}).id
        for model, mark in (("afina-tiny", "a"), ("gpt-4o-mini", "b"), ("afina-tiny", "b"))
    ]
    names.append(ask(official).id)
    listed = official.chat.completions.list

    def found(**fields) -> list[str]:
        return [chat.id for chat in listed(**fields)]

    assert found() == found(limit=1) == found(limit=0) == names, "oldest first, and page after page"
    assert found(order="desc", limit=2) == names[::-1]
    assert found(model="afina-tiny") == [names[0], names[2], names[3]]
    assert found(metadata={"set": "b"}) == names[1:3]
    assert found(metadata={"set": "b", "n": "1"}, model="gpt-4o-mini") == [names[1]]
    assert found(metadata={"set": "c"}) == found(model="nobody") == []
    assert found(after=names[2]) == [names[3]] and found(after="chatcmpl-x") == []
    assert [chat["id"] for chat in client.get(f"{CHATS}?metadata=null").json()["data"]] == [names[3]]
    first = listed(limit=2)
    assert first.has_more and [chat.id for chat in first.data] == names[:2]


@pytest.mark.parametrize(
    ("query", "param"), [("limit=101", "limit"), ("limit=x", "limit"), ("order=up", "order")]
)
def test_a_list_that_cannot_be(refusing: TestClient, query: str, param: str):
    reply = refusing.get(f"{CHATS}?{query}")
    assert (reply.status_code, reply.json()["error"]["param"]) == (400, param)


def test_metadata_is_replaced_as_a_whole(played, official: openai.OpenAI, client: TestClient):
    name = ask(official, metadata={"a": "1", "b": "2"}).id
    changed = official.chat.completions.update(name, metadata={"b": "3"})
    assert changed.metadata == {"b": "3"} and changed.choices[0].message.content == played.text
    assert [chat.id for chat in official.chat.completions.list(metadata={"b": "3"})] == [name]
    assert official.chat.completions.update(name, metadata=None).metadata == {}
    for body, param in (
        ({}, "metadata"),
        ({"metadata": {"k": "v" * 513}}, "metadata"),
        ({"metadata": {}, "model": "m"}, "model"),
    ):
        reply = client.post(f"{CHATS}/{name}", json=body)
        assert (reply.status_code, reply.json()["error"]["param"]) == (400, param)


def test_its_messages_are_those_of_the_request(played, official: openai.OpenAI, client: TestClient):
    messages = [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": [{"type": "text", "text": "Hi, "}, {"type": "text", "text": "you"}]},
        {"role": "assistant", "content": "Hello", "name": "A"},
        {"role": "user", "content": "Bye"},
    ]
    name = ask(official, messages=messages).id
    page = client.get(f"{CHATS}/{name}/messages").json()
    assert [message["id"] for message in page["data"]] == [f"{name}-{i}" for i in range(4)]
    assert (page["first_id"], page["last_id"], page["has_more"]) == (f"{name}-0", f"{name}-3", False)
    assert [message["content"] for message in page["data"]] == ["Be brief.", "Hi, you", "Hello", "Bye"]
    assert page["data"][1]["content_parts"] == messages[1]["content"]
    assert page["data"][2]["name"] == "A" and page["data"][0]["content_parts"] is None
    behind = client.get(f"{CHATS}/{name}/messages?limit=1&after={name}-1").json()
    assert ([message["id"] for message in behind["data"]], behind["has_more"]) == ([f"{name}-2"], True)
    backwards = client.get(f"{CHATS}/{name}/messages?order=desc&limit=2").json()["data"]
    assert [message["content"] for message in backwards] == ["Bye", "Hello"]
    assert client.get(f"{CHATS}/{name}/messages?after=x").json()["data"] == []


def test_a_deleted_chat_is_gone(played, official: openai.OpenAI, client: TestClient):
    name = ask(official).id
    gone = official.chat.completions.delete(name)
    assert (gone.id, gone.object, gone.deleted) == (name, "chat.completion.deleted", True)
    verbs = (("GET", ""), ("GET", "/messages"), ("DELETE", ""), ("POST", ""))
    for method, rest in verbs:
        reply = client.request(
            method, f"{CHATS}/{name}{rest}", **({"json": {"metadata": {}}} if method == "POST" else {})
        )
        assert (reply.status_code, reply.json()["error"]["param"]) == (404, "completion_id")
    assert client.get(CHATS).json()["data"] == []


def test_another_projects_chats_are_not_there(
    played, client: TestClient, other_project: str, new_key: Callable[..., str]
):
    name = client.post(CHATS, json={"model": "afina-tiny", "messages": HI, "store": True}).json()["id"]
    headers = {"authorization": f"Bearer {new_key(other_project)}"}
    for method, rest in itertools.product(("GET", "DELETE"), ("", "/messages")):
        if (method, rest) != ("DELETE", "/messages"):
            assert client.request(method, f"{CHATS}/{name}{rest}", headers=headers).status_code == 404
    assert client.post(f"{CHATS}/{name}", json={"metadata": {}}, headers=headers).status_code == 404
    assert client.get(CHATS, headers=headers).json()["data"] == []
    assert client.get(f"{CHATS}/{name}").status_code == 200


def test_a_viewer_reads_and_changes_nothing(
    played, client: TestClient, project: str, new_key: Callable[..., str]
):
    name = client.post(CHATS, json={"model": "afina-tiny", "messages": HI, "store": True}).json()["id"]
    headers = {"authorization": f"Bearer {new_key(project, 'viewer')}"}
    assert client.get(f"{CHATS}/{name}", headers=headers).status_code == 200
    assert client.delete(f"{CHATS}/{name}", headers=headers).status_code == 403
    assert client.post(f"{CHATS}/{name}", json={"metadata": {}}, headers=headers).status_code == 403
