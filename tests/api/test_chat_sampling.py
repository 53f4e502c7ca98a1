"""All that shapes how a reply is sampled, from the official client to an engine of random weights and back."""

import json

import openai
import pytest

import afina.base
from afina.data.render import Renderer

RENDERER = Renderer(afina.base.path())
HI = [{"role": "user", "content": "Hi"}]
SCHEMA = {
    "type": "object",
    "properties": {
        "urgency": {"type": "string", "enum": ["low", "high"]},
        "days": {"type": "integer", "minimum": 0, "maximum": 365},
        "note": {"anyOf": [{"type": "string", "maxLength": 12}, {"type": "null"}]},
    },
    "required": ["urgency", "days", "note"],
    "additionalProperties": False,
}
TRIAGE = {"type": "json_schema", "json_schema": {"name": "triage", "strict": True, "schema": SCHEMA}}


@pytest.fixture
def client(random_weights: openai.OpenAI) -> openai.OpenAI:
    return random_weights


def ask(client: openai.OpenAI, **fields):
    fields = {"messages": HI, "max_tokens": 16, "seed": 1, **fields}
    return client.chat.completions.create(model="afina-tiny", **fields)


def say(client: openai.OpenAI, **fields) -> str:
    return ask(client, **fields).choices[0].message.content


def ids_of(choice) -> list[int]:
    """The tokens of a reply, from the bytes among its log-probabilities."""
    return [RENDERER.ids_by_bytes[bytes(entry.bytes)] for entry in choice.logprobs.content]


def streamed(client: openai.OpenAI, **fields) -> list[dict]:
    """The choices of a stream, put together."""
    found: dict[int, dict] = {}
    for chunk in ask(client, stream=True, **fields):
        for choice in chunk.choices:
            mine = found.setdefault(choice.index, {"text": "", "finish": None, "logprobs": [], "calls": []})
            mine["text"] += choice.delta.content or ""
            mine["finish"] = choice.finish_reason or mine["finish"]
            mine["logprobs"] += choice.logprobs.content if choice.logprobs else []
            mine["calls"] += choice.delta.tool_calls or []
    return [found[index] for index in sorted(found)]


@pytest.mark.parametrize("seed", range(4))
def test_a_strict_schema_holds_at_temperature_2_on_random_weights(client, seed: int):
    reply = ask(client, response_format=TRIAGE, temperature=2, seed=seed, n=3, max_tokens=200)
    for choice in reply.choices:
        found = json.loads(choice.message.content)
        assert list(found) == ["urgency", "days", "note"] and choice.finish_reason == "stop"
        assert found["urgency"] in ("low", "high") and found["days"] in range(366)
        assert found["note"] is None or len(found["note"]) <= 12
    assert [
        choice["text"]
        for choice in streamed(client, response_format=TRIAGE, temperature=2, seed=seed, n=3, max_tokens=200)
    ] == [choice.message.content for choice in reply.choices]


def test_parse_gives_an_object(client):
    from pydantic import BaseModel, Field

    class Dose(BaseModel):
        drug: str = Field(max_length=8)
        steps: list[int] = Field(max_length=3)

    reply = client.chat.completions.parse(
        model="afina-tiny", messages=HI, response_format=Dose, temperature=2, seed=3, max_tokens=200
    )
    parsed = reply.choices[0].message.parsed
    assert parsed and len(parsed.drug) <= 8 and len(parsed.steps) <= 3


def test_a_json_object_or_the_beginning_of_one(client):
    messages = [{"role": "user", "content": "Answer in JSON."}]
    for seed in range(4):
        choice = ask(
            client, messages=messages, response_format={"type": "json_object"}, temperature=2, seed=seed
        ).choices[0]
        if choice.finish_reason == "stop":
            assert isinstance(json.loads(choice.message.content), dict)
        else:
            assert choice.finish_reason == "length" and choice.message.content.startswith("{")


def test_the_length_is_reached_within_json(client):
    for choice in (
        ask(client, response_format=TRIAGE, max_tokens=3).choices[0],
        ask(client, response_format=TRIAGE, max_tokens=3, stop=["never said"]).choices[0],
    ):
        assert choice.finish_reason == "length" and choice.message.content.startswith("{")


def test_a_stop_string_ends_json_too(client):
    choice = ask(client, response_format=TRIAGE, stop=["days"], max_tokens=100, logprobs=True).choices[0]
    assert choice.finish_reason == "stop" and choice.message.content.endswith('"')
    assert "days" not in choice.message.content


def test_log_probabilities_of_every_choice(client):
    fields = {"n": 3, "logprobs": True, "top_logprobs": 4, "temperature": 1.5, "max_tokens": 40}
    reply = ask(client, **fields)
    for choice in reply.choices:
        entries = choice.logprobs.content
        assert choice.logprobs.refusal is None
        assert (
            b"".join(bytes(entry.bytes) for entry in entries).decode(errors="replace")
            == choice.message.content
        )
        for entry in entries:
            values = [other.logprob for other in entry.top_logprobs]
            assert (
                len(values) == 4
                and values == sorted(values, reverse=True)
                and entry.logprob <= values[0] <= 0
            )
            assert bytes(entry.bytes).decode("utf-8", "backslashreplace") == entry.token
    for choice, parts in zip(reply.choices, streamed(client, **fields), strict=True):
        assert parts["logprobs"] == choice.logprobs.content and parts["text"] == choice.message.content
    plain = ask(client, logprobs=True).choices[0].logprobs.content
    assert plain and all(entry.top_logprobs == [] for entry in plain)
    assert ask(client).choices[0].logprobs is None


def test_log_probabilities_end_where_a_stop_string_begins(client):
    text = say(client, temperature=0)
    stop = text[len(text) // 2 :][:4]
    before = text[: text.index(stop)]
    whole = ask(client, temperature=0, stop=stop, logprobs=True).choices[0]
    covered = b"".join(bytes(entry.bytes) for entry in whole.logprobs.content).decode(errors="replace")
    assert whole.message.content == before and covered.startswith(before)
    assert len(covered) < len(before) + 20 and bool(whole.logprobs.content) == bool(before)
    (parts,) = streamed(client, temperature=0, stop=stop, logprobs=True)
    assert (parts["text"], parts["logprobs"]) == (before, whole.logprobs.content)


def test_a_bias_bans_and_forces(client):
    first = ids_of(ask(client, temperature=0, logprobs=True).choices[0])[0]
    banned = ids_of(ask(client, temperature=0, logprobs=True, logit_bias={str(first): -100}).choices[0])
    assert first not in banned
    wish = RENDERER.ids_by_bytes[b" the"]
    forced = ask(client, temperature=1, logprobs=True, logit_bias={str(wish): 100}, max_tokens=4).choices[0]
    assert forced.message.content == " the" * 4
    assert say(client, temperature=0, logit_bias={str(first): 0}) == say(client, temperature=0)


def test_penalties_change_what_is_said(client):
    wish = {str(RENDERER.ids_by_bytes[word]): 30 for word in (b" the", b" of", b" and")}
    free = ids_of(ask(client, logit_bias=wish, logprobs=True, temperature=0, max_tokens=30).choices[0])
    for name in ("presence_penalty", "frequency_penalty"):
        held = ids_of(
            ask(client, logit_bias=wish, logprobs=True, temperature=0, max_tokens=30, **{name: 2.0}).choices[
                0
            ]
        )
        assert len(set(held)) >= len(set(free)) and held != free
    zero = ids_of(
        ask(
            client,
            logit_bias=wish,
            logprobs=True,
            temperature=0,
            max_tokens=30,
            presence_penalty=0,
            frequency_penalty=0,
        ).choices[0]
    )
    assert zero == free


def test_top_k_and_min_p_leave_the_likeliest(client):
    greedy = say(client, temperature=0)
    for only in ({"top_k": 1}, {"min_p": 1.0}):
        assert say(client, temperature=1.9, extra_body=only) == greedy
    free = say(client, temperature=1.9)
    assert free != greedy
    assert [say(client, temperature=1.9, extra_body={"top_k": k}) for k in (0, -1)] == [free, free]


def function(name: str, *, strict: bool | None = None, **properties) -> dict:
    parameters = {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }
    return {"name": name, "parameters": parameters, **({} if strict is None else {"strict": strict})}


HOUR, LABEL = {"type": "integer", "minimum": 0, "maximum": 23}, {"type": "string", "maxLength": 6}
FUNCTIONS = [function("set_alarm", hour=HOUR, label=LABEL), function("stop_alarm", id={"enum": [1, 2]})]
TOOLS = [{"type": "function", "function": entry} for entry in FUNCTIONS]


def check(call) -> None:
    """A call obeys the schema of its function."""
    found = json.loads(call.arguments)
    if call.name == "stop_alarm":
        assert found["id"] in (1, 2) and len(found) == 1
    else:
        assert call.name == "set_alarm" and list(found) == ["hour", "label"]
        assert found["hour"] in range(24) and len(found["label"]) <= 6


@pytest.mark.parametrize("seed", range(3))
def test_a_named_tool_is_called_once(client, seed: int):
    choice = {"type": "function", "function": {"name": "set_alarm"}}
    fields = {
        "tools": TOOLS,
        "tool_choice": choice,
        "temperature": 2,
        "seed": seed,
        "max_tokens": 200,
        "n": 2,
    }
    for found in ask(client, **fields).choices:
        (call,) = found.message.tool_calls
        check(call.function)
        assert (call.function.name, found.message.content, found.finish_reason) == ("set_alarm", None, "stop")
    for parts in streamed(client, **fields):
        assert len(parts["calls"]) == 1 and parts["text"] == "" and parts["finish"] == "stop"


def test_some_tool_is_called_where_one_is_required(client):
    fields = {"tools": TOOLS, "tool_choice": "required", "temperature": 2, "max_tokens": 300}
    names = set()
    for seed in range(6):
        choice = ask(client, seed=seed, **fields).choices[0]
        assert choice.message.tool_calls
        for call in (
            choice.message.tool_calls[:-1] if choice.finish_reason == "length" else choice.message.tool_calls
        ):
            check(call.function)
            names.add(call.function.name)
        one = ask(client, seed=seed, parallel_tool_calls=False, **fields).choices[0]
        assert len(one.message.tool_calls) == 1 and one.finish_reason == "tool_calls"
    assert names == {"set_alarm", "stop_alarm"}


def test_a_call_that_the_length_cuts_short_is_still_a_call(client):
    choice = {"type": "function", "function": {"name": "set_alarm"}}
    arguments = set()
    for most in (16, 18, 20):
        found = ask(client, tools=TOOLS, tool_choice=choice, max_tokens=most).choices[0]
        assert found.finish_reason == "length" and found.message.content is None
        (call,) = found.message.tool_calls
        assert call.function.name == "set_alarm" and call.function.arguments[:1] in ("", "{")
        arguments.add(call.function.arguments)
    assert len(arguments) > 1
    none = ask(client, tools=TOOLS, tool_choice=choice, max_tokens=2).choices[0].message
    assert (none.content, none.tool_calls) == ("", None)


def test_strict_tools_are_held_to_their_schemas_where_calling_is_free(client):
    opening = RENDERER.ids_by_bytes[b"<tool_call>"]
    tools = [{"type": "function", "function": function("set_alarm", strict=True, hour=HOUR)}]
    fields = {"tools": tools, "logit_bias": {str(opening): 9}, "temperature": 2, "max_tokens": 60}
    called = 0
    for seed in range(8):
        choice = ask(client, seed=seed, parallel_tool_calls=False, **fields).choices[0]
        calls = choice.message.tool_calls or []
        assert len(calls) <= 1
        if choice.finish_reason == "tool_calls":
            called += 1
            assert json.loads(calls[0].function.arguments)["hour"] in range(24)
    assert called


def test_only_allowed_tools_are_called(client):
    named = [{"type": "function", "function": {"name": "stop_alarm"}}]
    choice = {"type": "allowed_tools", "allowed_tools": {"mode": "required", "tools": named}}
    for seed in range(3):
        found = ask(client, tools=TOOLS, tool_choice=choice, seed=seed, temperature=2, max_tokens=80).choices[
            0
        ]
        assert {call.function.name for call in found.message.tool_calls} == {"stop_alarm"}


def test_functions_are_the_tools_of_old(client):
    fields = {"functions": FUNCTIONS, "temperature": 2, "max_tokens": 200}
    found = ask(client, function_call={"name": "set_alarm"}, **fields).choices[0]
    check(found.message.function_call)
    assert found.message.tool_calls is None and found.finish_reason == "stop"
    (delta,) = [
        chunk.choices[0].delta.function_call
        for chunk in ask(client, function_call={"name": "set_alarm"}, stream=True, **fields)
        if chunk.choices[0].delta.function_call
    ]
    assert (delta.name, delta.arguments) == ("set_alarm", found.message.function_call.arguments)
    answered = [
        *HI,
        {"role": "assistant", "content": None, "function_call": {"name": "set_alarm", "arguments": "{}"}},
        {"role": "function", "name": "set_alarm", "content": "done"},
    ]
    assert ask(client, messages=answered, **fields).choices[0].finish_reason in ("stop", "length")


def test_a_form_for_text_and_tools_beside_it(client):
    for seed in range(6):
        found = ask(
            client, response_format=TRIAGE, tools=TOOLS, seed=seed, temperature=2, max_tokens=300
        ).choices[0]
        if found.message.tool_calls:
            assert found.message.content is None
        else:
            assert set(json.loads(found.message.content)) == set(SCHEMA["properties"])
