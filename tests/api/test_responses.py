"""Responses: whole, streamed and replayed, in chains and conversations, and everything that is refused."""

import json
from collections.abc import Callable

import openai
import pytest
from fastapi.testclient import TestClient

import afina.base
from afina.api.app import create_app
from afina.data.render import Renderer
from afina.settings import Settings

RESPONSES = "/v1/responses"
WEATHER = {
    "type": "function",
    "name": "weather",
    "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
    "strict": False,
}
CALL = '<tool_call>\n{"name": "weather", "arguments": {"city": "Lima"}}\n</tool_call>'


def prompt(*messages: tuple[str, str]) -> list[int]:
    """The bundled base's prompt for plain messages."""
    return Renderer(afina.base.path()).prompt(
        [{"role": role, "content": content} for role, content in messages]
    )


def test_a_whole_response(played, official: openai.OpenAI):
    made = official.responses.create(
        model="afina-tiny", input="Hi", instructions="Be brief.", temperature=0.5, metadata={"a": "b"}
    )
    assert made.id.startswith("resp_") and (made.status, made.output_text) == (
        "completed",
        "One two three four.",
    )
    assert made.usage and made.usage.output_tokens == 4 and made.usage.total_tokens > 4
    assert (made.instructions, made.metadata, made.temperature) == ("Be brief.", {"a": "b"}, 0.5)
    assert made.output[0].type == "message" and made.output[0].id.startswith("msg_")
    assert played.asked[0].prompt == prompt(("system", "Be brief."), ("user", "Hi"))
    assert official.responses.retrieve(made.id) == made
    (item,) = official.responses.input_items.list(made.id).data
    assert item.type == "message" and item.content[0].text == "Hi"


def test_a_stream_tells_its_response(played, official: openai.OpenAI):
    events = list(official.responses.create(model="afina-tiny", input="Hi", stream=True))
    assert [event.sequence_number for event in events] == list(range(len(events)))
    assert [event.type.removeprefix("response.") for event in events] == [
        "created",
        "in_progress",
        "output_item.added",
        "content_part.added",
        *["output_text.delta"] * 4,
        "output_text.done",
        "content_part.done",
        "output_item.done",
        "completed",
    ]
    last = events[-1].response
    assert {event.item_id for event in events if "text" in event.type} == {last.output[0].id}
    assert "".join(event.delta for event in events if event.type.endswith("delta")) == last.output_text
    assert official.responses.retrieve(last.id) == last
    assert list(official.responses.retrieve(last.id, stream=True)) == events
    assert list(official.responses.retrieve(last.id, stream=True, starting_after=5)) == events[6:]


def post(client: TestClient, **body: object) -> dict:
    reply = client.post(RESPONSES, json={"model": "afina-tiny", **body})
    assert reply.status_code == 200, reply.text
    return reply.json()


def test_a_chain_goes_on_after_a_restart(played, settings: Settings, client: TestClient):
    first = post(client, input="One?", instructions="Only now.")
    with TestClient(create_app(settings), headers=client.headers) as restarted:
        second = post(restarted, input="Two?", previous_response_id=first["id"])
        third = post(restarted, input="Three?", previous_response_id=second["id"])
    said = "One two three four."
    talk = [("user", "One?"), ("assistant", said), ("user", "Two?"), ("assistant", said), ("user", "Three?")]
    assert played.asked[-1].prompt == prompt(*talk)
    assert third["previous_response_id"] == second["id"] and second["instructions"] is None


def test_a_call_and_its_output(played, official: openai.OpenAI):
    played.text = f"Let me see.\n{CALL}"
    ask = {"model": "afina-tiny", "input": "Weather?", "tools": [WEATHER]}
    made = official.responses.create(**ask)
    message, call = made.output
    assert message.type == "message" and message.content[0].text == "Let me see."
    assert call.type == "function_call" and (call.name, call.status) == ("weather", "completed")
    assert json.loads(call.arguments) == {"city": "Lima"} and call.id.startswith("fc_")
    played.text = "Warm."
    output = {"type": "function_call_output", "call_id": call.call_id, "output": "25 C"}
    end = official.responses.create(**{**ask, "input": [output]}, previous_response_id=made.id)
    told = Renderer(afina.base.path()).decode(played.asked[-1].prompt, skip_special=False)
    assert end.output_text == "Warm." and "25 C" in told and "Lima" in told
    assert told.index("Let me see.") < told.index("Lima") < told.index("25 C")


def test_a_streamed_call(played, official: openai.OpenAI):
    played.text = f"Look. {CALL}"
    stream = official.responses.create(model="afina-tiny", input="?", tools=[WEATHER], stream=True)
    events = list(stream)
    last = events[-1].response
    done = next(event for event in events if event.type == "response.function_call_arguments.done")
    assert [item.type for item in last.output] == ["message", "function_call"]
    assert (done.item_id, done.output_index, done.arguments) == (
        last.output[1].id,
        1,
        last.output[1].arguments,
    )
    deltas = [event.delta for event in events if event.type == "response.function_call_arguments.delta"]
    assert "".join(deltas) == done.arguments
    items = [event.item for event in events if event.type == "response.output_item.done"]
    assert items == last.output
    assert list(official.responses.retrieve(last.id, stream=True)) == events


def test_what_is_asked_of_the_host(played, client: TestClient):
    schema = {"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"]}
    form = {"type": "json_schema", "name": "x", "schema": schema}
    post(client, input="?", text={"format": form}, temperature=0.3, top_p=0.5, max_output_tokens=9)
    asked = played.asked[0]
    assert (asked.temperature, asked.top_p, asked.max_tokens) == (0.3, 0.5, 9)
    assert asked.response_format and asked.response_format.format.json_schema == schema
    reply = post(client, input="?", tools=[WEATHER], tool_choice={"type": "function", "name": "weather"})
    assert played.asked[1].response_format and reply["tool_choice"] == {"type": "function", "name": "weather"}
    assert reply["tools"][0]["parameters"] == WEATHER["parameters"]


def test_a_reply_that_is_cut(played, official: openai.OpenAI):
    made = official.responses.create(model="afina-tiny", input="Hi", max_output_tokens=2)
    assert made.status == "incomplete" and made.incomplete_details.reason == "max_output_tokens"
    assert made.output[0].status == "incomplete" and made.completed_at is None
    events = list(official.responses.retrieve(made.id, stream=True))
    assert events[-1].type == "response.incomplete" and events[-1].response == made


def test_without_model_and_input(played, client: TestClient):
    reply = client.post(RESPONSES, json={})
    assert reply.json()["model"] == "afina-tiny" and "demonstration" in reply.headers["x-afina-warning"]
    assert played.asked[0].prompt == prompt(("user", ""))


def test_what_is_not_stored_cannot_be_found(played, client: TestClient):
    made = post(client, input="Hi", store=False)
    assert made["store"] is False and client.get(f"{RESPONSES}/{made['id']}").status_code == 404
    reply = client.post(
        RESPONSES, json={"model": "afina-tiny", "input": "?", "previous_response_id": made["id"]}
    )
    assert (reply.status_code, reply.json()["error"]["code"]) == (400, "previous_response_not_found")


def test_a_deleted_response_is_gone(played, client: TestClient):
    first = post(client, input="Hi")
    second = post(client, input="?", previous_response_id=first["id"])
    gone = client.delete(f"{RESPONSES}/{first['id']}")
    assert gone.json() == {"id": first["id"], "object": "response", "deleted": True}
    for method, path in (("GET", ""), ("DELETE", ""), ("POST", "/cancel"), ("GET", "/input_items")):
        assert client.request(method, f"{RESPONSES}/{first['id']}{path}").status_code == 404
    reply = client.post(
        RESPONSES, json={"model": "afina-tiny", "input": "?", "previous_response_id": second["id"]}
    )
    assert reply.json()["error"]["code"] == "previous_response_not_found"


def test_another_projects_response_is_not_there(
    played, client: TestClient, other_project: str, new_key: Callable[..., str]
):
    made = post(client, input="Hi")
    stranger = {"authorization": f"Bearer {new_key(other_project)}"}
    assert client.get(f"{RESPONSES}/{made['id']}", headers=stranger).status_code == 404
    body = {"model": "afina-tiny", "input": "?", "previous_response_id": made["id"]}
    assert client.post(RESPONSES, json=body, headers=stranger).status_code == 400


def test_input_items_in_pages(played, official: openai.OpenAI):
    items = [{"role": "user", "content": f"Word {number}."} for number in range(5)]
    made = official.responses.create(model="afina-tiny", input=items)
    listed = list(official.responses.input_items.list(made.id, limit=2, order="asc"))
    assert [item.content[0].text for item in listed] == [f"Word {number}." for number in range(5)]
    assert len({item.id for item in listed}) == 5
    newest = official.responses.input_items.list(made.id, limit=0).data
    assert newest[0].content[0].text == "Word 4."
    assert official.responses.input_items.list(made.id, after="unknown").data == []


def test_a_conversation_gathers_its_responses(played, official: openai.OpenAI):
    talk = official.conversations.create(
        items=[{"role": "user", "content": "I am Ana."}], metadata={"a": "b"}
    )
    first = official.responses.create(model="afina-tiny", input="One?", conversation=talk.id)
    official.responses.create(model="afina-tiny", input="Two?", conversation={"id": talk.id})
    said = "One two three four."
    spoken = [("user", "I am Ana."), ("user", "One?"), ("assistant", said), ("user", "Two?")]
    assert played.asked[-1].prompt == prompt(*spoken) and first.conversation.id == talk.id
    items = list(official.conversations.items.list(talk.id, order="asc"))
    assert [item.content[0].text for item in items] == [text for _, text in spoken] + [said]
    assert official.conversations.update(talk.id, metadata={"c": "d"}).metadata == {"c": "d"}
    assert official.conversations.delete(talk.id).deleted
    with pytest.raises(openai.NotFoundError):
        official.conversations.retrieve(talk.id)


def test_counting_and_truncating(played, client: TestClient):
    count = client.post(f"{RESPONSES}/input_tokens", json={"model": "afina-tiny", "input": "Hi"})
    assert count.json() == {
        "object": "response.input_tokens",
        "input_tokens": len(prompt(("user", "Hi"))),
    }
    items = [{"role": "user", "content": f"Number {place}: " + "word " * 300} for place in range(12)]
    whole = client.post(f"{RESPONSES}/input_tokens", json={"model": "afina-tiny", "input": items}).json()
    assert whole["input_tokens"] > 2048
    refused = client.post(RESPONSES, json={"model": "afina-tiny", "input": items})
    error = refused.json()["error"]
    assert (refused.status_code, error["param"], error["code"]) == (400, "input", "context_length_exceeded")
    post(client, input=items, truncation="auto")
    told = Renderer(afina.base.path()).decode(played.asked[-1].prompt)
    assert "Number 11" in told and "Number 0" not in told and len(played.asked[-1].prompt) < 2048


def test_compacting(played, client: TestClient):
    empty = client.post(f"{RESPONSES}/compact", json={"model": "afina-tiny"}).json()
    assert empty["usage"]["total_tokens"] == 0 and played.asked == []
    first = post(client, input="I am Ana.")
    short = client.post(
        f"{RESPONSES}/compact", json={"model": "afina-tiny", "previous_response_id": first["id"]}
    ).json()
    (item,) = short["output"]
    assert item["type"] == "compaction" and short["usage"]["total_tokens"] > 0
    post(client, input=[item, {"role": "user", "content": "Who am I?"}])
    told = Renderer(afina.base.path()).decode(played.asked[-1].prompt)
    assert "in short" in told and "One two three four." in told and "I am Ana" not in told


def test_a_host_that_dies_in_a_stream_fails_the_response(played, official: openai.OpenAI):
    played.deaths = 1
    events = list(official.responses.create(model="afina-tiny", input="Hi", stream=True))
    failed = events[-1]
    assert failed.type == "response.failed" and failed.response.error.code == "server_error"
    assert official.responses.retrieve(failed.response.id) == failed.response
    assert list(official.responses.retrieve(failed.response.id, stream=True))[-1] == failed


def test_only_the_background_is_cancelled(played, client: TestClient):
    made = post(client, input="Hi")
    reply = client.post(f"{RESPONSES}/{made['id']}/cancel")
    assert (reply.status_code, reply.json()["error"]["message"]) == (
        400,
        "Cannot cancel a synchronous response.",
    )


def test_another_servers_fields_are_taken(played, client: TestClient):
    made = post(
        client,
        input="string",
        prompt={"id": "id"},
        include=["file_search_call.results"],
        moderation={"model": "m", "policy": {"input": {"mode": "score"}}},
        prompt_cache_options={"mode": "implicit", "ttl": "30m"},
        reasoning={"effort": "none", "summary": "auto", "mode": "standard"},
        service_tier="auto",
        text={"format": {"type": "text"}, "verbosity": "low"},
        tool_choice="none",
        tools=[{**WEATHER, "parameters": {"foo": "bar"}, "strict": True, "async": True}],
        max_tool_calls=0,
        stream_options={"include_obfuscation": True},
    )
    assert made["status"] == "completed"


BAD: dict[str, tuple[dict, str, str]] = {
    "a hosted tool": ({"tools": [{"type": "web_search"}]}, "tools[0]", "hosted"),
    "a choice of one": ({"tool_choice": {"type": "file_search"}}, "tool_choice", "hosted"),
    "an image": (
        {"input": [{"role": "user", "content": [{"type": "input_image", "image_url": "x"}]}]},
        "input[0].content[0].type",
        "'input_text'",
    ),
    "an unknown item": ({"input": [{"type": "item_reference", "id": "x"}]}, "input[0]", "references"),
    "an input of no kind": ({"input": 3}, "input", "string or an array"),
    "an unknown field": ({"inputs": "x"}, "inputs", "Unknown parameter"),
    "an output of nothing": (
        {"input": [{"type": "function_call_output", "call_id": "c", "output": "x"}]},
        "input",
        "no function call",
    ),
    "a prompt alone": ({"prompt": {"id": "x"}, "input": None}, "prompt", "dashboard"),
    "no tokens": ({"max_output_tokens": 0}, "max_output_tokens", "greater than or equal to 1"),
    "heat": ({"temperature": 3}, "temperature", "less than or equal to 2"),
    "the background unstored": ({"background": True, "store": False}, "background", "stored"),
    "a blocking moderation": (
        {"moderation": {"model": "m", "policy": {"input": {"mode": "block"}}}},
        "moderation.policy",
        "blocked",
    ),
    "a strict schema that is none": (
        {
            "text": {
                "format": {"type": "json_schema", "name": "x", "strict": True, "schema": {"type": "object"}}
            }
        },
        "text.format",
        "Invalid schema",
    ),
    "a bad function": (
        {"tools": [{**WEATHER, "strict": True}]},
        "tools[0].parameters",
        "Invalid schema for function",
    ),
    "json unspoken": ({"text": {"format": {"type": "json_object"}}}, "input", "'text.format'"),
    "a choice of nothing": ({"tool_choice": "required"}, "tool_choice", "tools"),
    "another's summary": (
        {"input": [{"type": "compaction", "encrypted_content": "x"}]},
        "input",
        "not made by this server",
    ),
    "an unknown response": (
        {"previous_response_id": "resp_x"},
        "previous_response_id",
        "'resp_x' not found",
    ),
    "too much metadata": ({"metadata": {"a": "x" * 513}}, "metadata", "512"),
}


@pytest.mark.parametrize("name", BAD)
def test_what_is_refused(refusing: TestClient, name: str):
    body, param, words = BAD[name]
    for streamed in (False, True):
        asked = {"model": "afina-tiny", "input": "?", **body, "stream": streamed}
        reply = refusing.post(RESPONSES, json=asked)
        error = reply.json()["error"]
        assert (reply.status_code, error["type"], error["param"]) == (400, "invalid_request_error", param)
        assert words in error["message"]


def test_an_unknown_model_or_conversation(refusing: TestClient):
    reply = refusing.post(RESPONSES, json={"model": "nobody", "input": "?"})
    assert (reply.status_code, reply.json()["error"]["code"]) == (404, "model_not_found")
    reply = refusing.post(RESPONSES, json={"model": "afina-tiny", "input": "?", "conversation": "conv_x"})
    assert (reply.status_code, reply.json()["error"]["param"]) == (404, "conversation")
