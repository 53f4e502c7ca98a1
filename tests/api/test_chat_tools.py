"""Calls of functions in replies, whole and streamed."""

import json

import openai
from fastapi.testclient import TestClient

CHAT = "/v1/chat/completions"
HI = [{"role": "user", "content": "Hi"}]


def test_a_call_comes_back_as_a_call(played, official: openai.OpenAI):
    played.text = (
        'Let me see.\n<tool_call>\n{"name": "weather", "arguments": {"city": "Málaga"}}\n</tool_call>'
    )
    tool = {"type": "function", "function": {"name": "weather", "parameters": {"type": "object"}}}
    ask = {"model": "afina-tiny", "messages": HI, "tools": [tool]}
    reply = official.chat.completions.create(**ask)
    choice = reply.choices[0]
    assert choice.finish_reason == "tool_calls" and choice.message.content == "Let me see."
    assert choice.message.tool_calls
    call = choice.message.tool_calls[0]
    assert call.type == "function" and call.function.name == "weather"
    assert json.loads(call.function.arguments) == {"city": "Málaga"}
    with official.chat.completions.stream(**ask) as stream:
        final = stream.get_final_completion().choices[0]
    assert final.message.content == "Let me see." and final.finish_reason == "tool_calls"
    assert (
        final.message.tool_calls and final.message.tool_calls[0].function.arguments == call.function.arguments
    )
    answered = [
        *HI,
        {
            "role": "assistant",
            "tool_calls": [
                {"id": call.id, "type": "function", "function": {"name": "weather", "arguments": "{}"}}
            ],
        },
        {"role": "tool", "tool_call_id": call.id, "content": "Sunny"},
    ]
    played.text = "Sunny."
    assert (
        official.chat.completions.create(**{**ask, "messages": answered}).choices[0].message.content
        == "Sunny."
    )


def test_a_call_stays_text_where_no_tools_were_given(played, client: TestClient):
    played.text = '<tool_call>{"name": "f"}</tool_call>'
    for body in ({}, {"tools": [{"type": "function", "function": {"name": "f"}}], "tool_choice": "none"}):
        reply = client.post(CHAT, json={"model": "afina-tiny", "messages": HI, **body}).json()
        assert reply["choices"][0]["message"]["content"] == played.text
