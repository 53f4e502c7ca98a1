"""Chats that cannot be: each is a 400 that names its parameter, whole and streamed."""

import pytest
from fastapi.testclient import TestClient

import afina.base
from afina.data.render import Renderer

CHAT = "/v1/chat/completions"
HI = [{"role": "user", "content": "Hi"}]


def user(**fields: object) -> list[dict]:
    return [{"role": "user", "content": "Hi", **fields}]


def image(url: str) -> dict:
    return {"type": "image_url", "image_url": {"url": url}}


FUNCTION = {"type": "function", "function": {"name": "f"}}


@pytest.mark.parametrize(
    ("fields", "param", "code"),
    [
        ({"messages": []}, "messages", "invalid_value"),
        ({"messages": "Hi"}, "messages", "invalid_type"),
        ({"messages": [{"content": "Hi"}]}, "messages[0].role", "missing_required_parameter"),
        ({"messages": [{"role": "bot", "content": "Hi"}]}, "messages[0].role", "invalid_value"),
        ({"messages": [{"role": "user"}]}, "messages[0].content", "missing_required_parameter"),
        ({"messages": user(content=5)}, "messages[0].content", "invalid_type"),
        ({"messages": user(content=None)}, "messages[0].content", "invalid_type"),
        ({"messages": user(content=[])}, "messages[0].content", "invalid_value"),
        (
            {"messages": user(content=[{"type": "text"}])},
            "messages[0].content[0].text",
            "missing_required_parameter",
        ),
        ({"messages": user(content=[{"type": "magic"}])}, "messages[0].content[0].type", "invalid_value"),
        *(
            (
                {"messages": user(content=[image(url)])},
                "messages[0].content[0].image_url.url",
                "image_url_not_allowed",
            )
            for url in (
                "http://169.254.169.254/",
                "http://[::ffff:127.0.0.1]/",
                "http://0x7f.1/",
                "http://a\\@b/",
                "https://example.org/cat.png",
                "file:///etc/passwd",
            )
        ),
        *(
            ({"messages": user(content=[part])}, "messages[0].content[0]", "invalid_value")
            for part in (
                image("data:image/png;base64,AAAA"),
                {"type": "input_audio", "input_audio": {"data": "AAAA", "format": "wav"}},
                {"type": "file", "file": {"file_id": "file-1"}},
            )
        ),
        ({"messages": user(weight=1)}, "messages[0].weight", "unknown_parameter"),
        ({"messages": [*user(), {"role": "assistant"}]}, "messages[1]", "invalid_value"),
        (
            {"messages": [*user(), {"role": "tool", "tool_call_id": "c", "content": "x"}]},
            "messages[1].tool_call_id",
            "invalid_value",
        ),
        *(({"temperature": bad}, "temperature", None) for bad in (-0.1, 2.1, "1", True)),
        *(({"top_p": bad}, "top_p", None) for bad in (-0.1, 1.1)),
        *(({"n": bad}, "n", None) for bad in (0, 129, 1_000_000, 1.5)),
        *(({"max_tokens": bad}, "max_tokens", None) for bad in (-1, 1.5, "5")),
        ({"logit_bias": {str(i): 0 for i in range(10_000)}}, "logit_bias", "invalid_value"),
        ({"logit_bias": {"1": 101}}, "logit_bias.1", "invalid_value"),
        ({"stop": ["a", "b", "c", "d", "e"]}, "stop", "invalid_value"),
        ({"stop": ""}, "stop", "invalid_value"),
        ({"stop": ["a", ""]}, "stop", "invalid_value"),
        ({"stop": [1]}, "stop[0]", "invalid_type"),
        ({"top_logprobs": 21}, "top_logprobs", "invalid_value"),
        ({"top_logprobs": 2}, "top_logprobs", None),
        ({"frequency_penalty": 2.1}, "frequency_penalty", "invalid_value"),
        ({"stream": "yes"}, "stream", "invalid_type"),
        ({"user": "u" * 10_000}, "user", "invalid_value"),
        (
            {"tools": [{"type": "function", "function": {"name": "a b"}}]},
            "tools[0].function.name",
            "invalid_value",
        ),
        ({"tools": [{"type": "magic"}]}, "tools[0].type", "invalid_value"),
        ({"tool_choice": 5}, "tool_choice", "invalid_type"),
        ({"tool_choice": "required"}, "tool_choice", None),
        ({"tool_choice": {"type": "function", "function": {"name": "f"}}}, "tool_choice", None),
        ({"tools": [FUNCTION], "tool_choice": "sometimes"}, "tool_choice", "invalid_value"),
        (
            {"tools": [FUNCTION], "tool_choice": {"type": "function", "function": {"name": "g"}}},
            "tool_choice",
            None,
        ),
        (
            {"tools": [FUNCTION], "tool_choice": {"type": "function"}},
            "tool_choice.function",
            "missing_required_parameter",
        ),
        (
            {"tools": [FUNCTION], "tool_choice": {"type": "custom", "custom": {"name": "f"}}},
            "tool_choice",
            "unsupported_parameter",
        ),
        ({"functions": [{"name": "f"}], "function_call": {"name": "g"}}, "function_call", None),
        ({"function_call": {"name": "g"}}, "function_call", None),
        ({"response_format": {"type": "json_object"}}, "messages", None),
        ({"response_format": {"type": "yaml"}}, "response_format.type", "invalid_value"),
        (
            {"response_format": {"type": "json_schema"}},
            "response_format.json_schema",
            "missing_required_parameter",
        ),
        (
            {"response_format": {"type": "json_schema", "json_schema": {"name": "a b"}}},
            "response_format.json_schema.name",
            "invalid_value",
        ),
        (
            {"response_format": {"type": "json_schema", "json_schema": {"name": "a", "schema": 5}}},
            "response_format.json_schema.schema",
            "invalid_type",
        ),
        ({"logit_bias": {"the": 5}}, "logit_bias", "invalid_value"),
        ({"logit_bias": {"8192": 5}}, "logit_bias", "invalid_value"),
        ({"logit_bias": {"-1": 5}}, "logit_bias", "invalid_value"),
        ({"logit_bias": {"1": -101}}, "logit_bias.1", "invalid_value"),
        ({"logit_bias": {"1": "5"}}, "logit_bias.1", "invalid_type"),
        ({"presence_penalty": -2.5}, "presence_penalty", "invalid_value"),
        ({"logprobs": 3}, "logprobs", "invalid_type"),
        ({"logprobs": True, "top_logprobs": -1}, "top_logprobs", "invalid_value"),
        *(({"top_k": bad}, "top_k", None) for bad in (-2, 1.5, "5")),
        *(({"min_p": bad}, "min_p", None) for bad in (-0.1, 1.1, "0.5")),
        ({"modalities": ["text", "audio"]}, "modalities", "unsupported_parameter"),
        ({"max_completion_tokens": -1}, "max_completion_tokens", "invalid_value"),
        ({"metadata": {"k": 1}}, "metadata.k", "invalid_type"),
        ({"metadata": {"k": "\0"}}, "metadata", "invalid_value"),
        ({"metadata": {str(i): "v" for i in range(17)}}, "metadata", "invalid_value"),
        *(
            (
                {"moderation": {"model": "m", "policy": {side: {"mode": "block"}}}},
                f"moderation.policy.{side}.mode",
                "unsupported_parameter",
            )
            for side in ("input", "output")
        ),
        *(
            ({name: "x"}, name, "unknown_parameter")
            for name in (
                "chat_template",
                "chat_template_kwargs",
                "prompt_embeds",
                "mm_processor_kwargs",
                "cache_salt",
                "lora_path",
                "guided_regex",
            )
        ),
        ({"messages": user(content="word " * 3000)}, "messages", "context_length_exceeded"),
    ],
)
def test_a_chat_that_cannot_be_is_refused(refusing: TestClient, fields: dict, param: str, code: str | None):
    for stream in (False, True):
        reply = refusing.post(CHAT, json={"model": "afina-tiny", "messages": HI, "stream": stream, **fields})
        error = reply.json()["error"]
        assert (reply.status_code, error["param"]) == (400, param), error
        assert code in (None, error["code"]), error


OPEN = {"type": "object", "properties": {"a": {"type": "null"}}, "required": ["a"]}
NAMED = {"type": "json_schema", "json_schema": {"name": "n", "strict": True, "schema": OPEN}}
CLOSED = "'additionalProperties' is required to be supplied and to be false."


@pytest.mark.parametrize(
    ("fields", "param", "code", "message"),
    [
        (
            {"top_logprobs": 3},
            "top_logprobs",
            None,
            "The 'top_logprobs' parameter is only allowed when 'logprobs' is enabled.",
        ),
        (
            {"response_format": {"type": "json_object"}},
            "messages",
            None,
            "'messages' must contain the word 'json' in some form, to use 'response_format' of type 'json_object'.",
        ),
        (
            {"response_format": NAMED},
            "response_format",
            None,
            f"Invalid schema for response_format 'n': In context=(), {CLOSED}",
        ),
        (
            {"tools": [{"type": "function", "function": {"name": "f", "strict": True, "parameters": OPEN}}]},
            "tools[0].function.parameters",
            "invalid_function_parameters",
            f"Invalid schema for function 'f': In context=(), {CLOSED}",
        ),
        (
            {"functions": [{"name": "f", "strict": True, "parameters": OPEN}]},
            "functions[0].parameters",
            "invalid_function_parameters",
            f"Invalid schema for function 'f': In context=(), {CLOSED}",
        ),
        (
            {"tool_choice": "required"},
            "tool_choice",
            None,
            "Invalid value for 'tool_choice': 'tool_choice' is only allowed when 'tools' are specified.",
        ),
        (
            {
                "tools": [FUNCTION] * 128,
                "response_format": {
                    "type": "json_schema",
                    "json_schema": {"name": "n", "schema": {"enum": ["x" * 66_000]}},
                },
            },
            "response_format",
            None,
            "Invalid schema for response_format 'n': it has more than 65536 characters; shorten it.",
        ),
        (
            {"model": "gpt-4o-mini", "logit_bias": {"5": 1}},
            "logit_bias",
            "invalid_value",
            "Invalid 'logit_bias': its keys are ids of OpenAI's vocabulary o200k_base, which is not installed here; "
            "ask for the model by its own name and use its own ids, or have the operator install o200k_base.tiktoken.",
        ),
    ],
)
def test_refusals_in_openais_words(
    refusing: TestClient, fields: dict, param: str, code: str | None, message: str
):
    reply = refusing.post(CHAT, json={"model": "afina-tiny", "messages": HI, **fields})
    expected = {"message": message, "type": "invalid_request_error", "param": param, "code": code}
    assert (reply.status_code, reply.json()["error"]) == (400, expected)


def test_the_context_is_told_with_both_lengths(refusing: TestClient):
    messages = user(content="word " * 3000)
    count = len(Renderer(afina.base.path()).prompt(messages))
    reply = refusing.post(CHAT, json={"model": "afina-tiny", "messages": messages})
    message = reply.json()["error"]["message"]
    assert "maximum context length is 2048 tokens" in message and f"{count} tokens" in message
