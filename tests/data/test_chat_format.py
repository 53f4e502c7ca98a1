"""Every numbered bad row of the chat format, with its exact wording."""

import json

import pytest

from afina.data.jsonl import read_lines
from afina.data.report import Report
from afina.data.strict_json import JsonObject, JsonValue
from afina.data.validate import Rules, validate

PREFIX = "The job failed due to an invalid training file. Invalid file format. "
USER: JsonObject = {"role": "user", "content": "Hi"}
ANSWER: JsonObject = {"role": "assistant", "content": "Hello."}
PROPERTIES: JsonObject = {"drug": {"type": "string", "enum": ["a", "b"]}, "mg": {"type": "integer"}}
SCHEMA: JsonObject = {
    "type": "object",
    "properties": PROPERTIES,
    "required": ["drug"],
    "additionalProperties": False,
}
TOOL: JsonObject = {"type": "function", "function": {"name": "dose", "parameters": SCHEMA}}


def call(arguments: JsonValue = '{"drug": "a"}', name: str = "dose", **more: JsonValue) -> JsonObject:
    return {"id": "c1", "type": "function", "function": {"name": name, "arguments": arguments}, **more}


def calling(*calls: JsonValue) -> JsonObject:
    return {"role": "assistant", "tool_calls": [*calls]}


RESULT: JsonObject = {"role": "tool", "tool_call_id": "c1", "content": "5"}


def chat(*messages: JsonValue, **more: JsonValue) -> JsonObject:
    return {"messages": [*messages], **more}


def image(url: str) -> JsonObject:
    return {"role": "user", "content": [{"type": "image_url", "image_url": {"url": url}}]}


def tools(*functions: JsonValue) -> JsonObject:
    return chat(USER, ANSWER, tools=[{"type": "function", "function": f} for f in functions])


# Number in the project's list of bad inputs, row, field, message.
BAD: list[tuple[int, JsonObject, str, str]] = [
    (81, {}, "messages", "Example 1 is missing key 'messages'"),
    (
        81,
        {"prompt": "a", "completion": "b"},
        "$",
        "Example 1: Unexpected file format, expected either prompt/completion pairs or chat messages",
    ),
    (82, {"messages": []}, "messages", "Example 1: 'messages' must be a non-empty array"),
    (83, chat("Hi", ANSWER), "messages[0]", "Example 1, message 1: expected an object"),
    (
        84,
        chat(USER, {"content": "Hello."}),
        "messages[1].role",
        "Example 1, message 2 Discriminator 'role' is missing in value",
    ),
    *(
        (
            85,
            chat({"role": role, "content": "x"}, ANSWER),
            "messages[0].role",
            "Example 1, message 1: role must be one of system, developer, user, assistant, tool (function)",
        )
        for role in ("bot", "Assistant", 42, None, ["user"])
    ),
    (86, chat(USER), "messages", "Example 1 must contain at least one assistant message"),
    (87, chat(USER, ANSWER, USER), "messages[2].role", "Example 1: last message must be from the assistant"),
    (
        91,
        chat(USER, {"role": "assistant"}),
        "messages[1].content",
        "Example 1, message 2 needs 'content' or 'tool_calls'",
    ),
    (
        91,
        chat(USER, {"role": "assistant", "content": None}),
        "messages[1].content",
        "Example 1, message 2 needs 'content' or 'tool_calls'",
    ),
    (91, chat({"role": "user"}, ANSWER), "messages[0].content", "Example 1, message 1 needs 'content'"),
    *(
        (
            94 if content is not None else 92,
            chat({"role": "user", "content": content}, ANSWER),
            "messages[0].content",
            "Example 1, message 1: 'content' must be a string or array of parts",
        )
        for content in (None, 7, {"text": "x"}, True, [])
    ),
    *(
        (
            95,
            chat({"role": "user", "content": [part]}, ANSWER),
            "messages[0].content[0].type",
            "Example 1, message 1: type must be text or image_url",
        )
        for part in ({"type": "input_audio"}, {"text": "x"}, "x")
    ),
    (
        95,
        chat({"role": "user", "content": [{"type": "text"}]}, ANSWER),
        "messages[0].content[0].text",
        "Example 1, message 1: 'text' must be a string",
    ),
    *(
        (
            96,
            chat(image(url), ANSWER),
            "messages[0].content[0]",
            "Example 1, message 1: base model does not accept images",
        )
        for url in ("data:image/png;base64,AA==", "http://example.com/a.png")
    ),
    (
        104,
        chat({**USER, "weight": 0}, ANSWER),
        "messages[0].weight",
        "Example 1, message 1: 'weight' is only allowed on assistant messages",
    ),
    *(
        (
            104,
            chat(USER, {**ANSWER, "weight": weight}),
            "messages[1].weight",
            "Example 1, message 2: 'weight' must be 0 or 1",
        )
        for weight in (2, 0.5, 1.0, True, "1", None)
    ),
    (105, chat(USER, {**ANSWER, "weight": 0}), "messages", "Example 1: no assistant message with weight 1"),
    (
        106,
        chat(USER, calling(call())),
        "tools",
        "Example 1, message 2: 'tool_calls' needs 'tools' in the example",
    ),
    (
        106,
        chat(USER, {"role": "assistant", "function_call": {"name": "dose", "arguments": "{}"}}),
        "functions",
        "Example 1, message 2: 'function_call' needs 'functions' in the example",
    ),
    (
        107,
        chat({**USER, "tool_calls": [call()]}, ANSWER, tools=[TOOL]),
        "messages[0].tool_calls",
        "Example 1, message 1: 'tool_calls' is only allowed on assistant messages",
    ),
    (
        108,
        chat(USER, {"role": "assistant", "content": "x", "tool_calls": []}, tools=[TOOL]),
        "messages[1].tool_calls",
        "Example 1, message 2: 'tool_calls' must be a non-empty array",
    ),
    (
        108,
        chat(USER, calling({**call(), "id": None}), tools=[TOOL]),
        "messages[1].tool_calls[0].id",
        "Example 1, message 2: a tool call needs 'id'",
    ),
    (
        108,
        chat(USER, calling({**call(), "type": "custom"}), tools=[TOOL]),
        "messages[1].tool_calls[0].type",
        "Example 1, message 2: tool call type must be 'function'",
    ),
    (
        109,
        chat(USER, calling(call(name="fly")), tools=[TOOL]),
        "messages[1].tool_calls[0]",
        "Example 1, message 2: tool 'fly' is not declared",
    ),
    *(
        (
            110,
            chat(USER, calling(call(arguments)), tools=[TOOL]),
            "messages[1].tool_calls[0].function.arguments",
            "Example 1, message 2: arguments must be a JSON-encoded string",
        )
        for arguments in ({"drug": "a"}, "{'drug': 'a'}", "7", None, '{"drug": NaN}', r'{"drug": "\ud83d"}')
    ),
    (
        112,
        chat(USER, calling(call()), {"role": "tool", "content": "5"}, ANSWER, tools=[TOOL]),
        "messages[2].tool_call_id",
        "Example 1, message 3: a tool message needs 'tool_call_id'",
    ),
    (
        113,
        chat(USER, calling(call()), RESULT, {**RESULT, "tool_call_id": "c2"}, ANSWER, tools=[TOOL]),
        "messages[3].tool_call_id",
        "Example 1, message 4: 'tool_call_id' is not that of an earlier tool call",
    ),
    (
        114,
        chat(USER, calling(call()), ANSWER, tools=[TOOL]),
        "messages[1].tool_calls",
        "Example 1, message 2: a tool call is not answered before the next assistant message",
    ),
    (115, chat(USER, ANSWER, tools={}), "tools", "Example 1: 'tools' must be an array"),
    (115, chat(USER, ANSWER, tools=[TOOL] * 129), "tools", "Example 1: 'tools' has more than 128 entries"),
    (115, chat(USER, ANSWER, tools=[{}]), "tools[0].type", "Example 1: tools[0].type must be 'function'"),
    (115, tools(None), "tools[0].function", "Example 1: tools[0].function must be an object"),
    *(
        (
            115,
            tools({"name": name}),
            "tools[0].function.name",
            "Example 1: tools[0].function.name must be 1 to 64 letters, digits, underscores or hyphens",
        )
        for name in ("", "a b", "x" * 65, "ñ", None, "a\n")
    ),
    *(
        (
            115,
            tools({"name": "f", "parameters": parameters}),
            "tools[0].function.parameters",
            "Example 1: tools[0].function.parameters must be a JSON Schema object",
        )
        for parameters in ([], "x", {"type": "string"}, {"properties": []})
    ),
    (
        115,
        chat(USER, ANSWER, functions=[{"name": "a b"}]),
        "functions[0].name",
        "Example 1: functions[0].name must be 1 to 64 letters, digits, underscores or hyphens",
    ),
    (
        116,
        chat(USER, {**calling(call()), "function_call": {"name": "dose", "arguments": "{}"}}, tools=[TOOL]),
        "messages[1].function_call",
        "Example 1, message 2: 'function_call' cannot be mixed with 'tool_calls'",
    ),
    (
        116,
        chat(
            USER,
            calling(call()),
            RESULT,
            {"role": "assistant", "function_call": {"name": "dose", "arguments": "{}"}},
            tools=[TOOL],
        ),
        "messages",
        "Example 1: 'function_call' cannot be mixed with 'tool_calls'",
    ),
    (117, chat(USER, ANSWER, id=7), "id", "Example 1: unexpected key 'id'"),
    (
        117,
        chat({**USER, "lang": "es"}, ANSWER),
        "messages[0].lang",
        "Example 1, message 1: unexpected key 'lang'",
    ),
    (
        117,
        chat({**USER, "tool_call_id": "c1"}, ANSWER),
        "messages[0].tool_call_id",
        "Example 1, message 1: unexpected key 'tool_call_id'",
    ),
    (
        117,
        chat(USER, calling(call(index=0)), tools=[TOOL]),
        "messages[1].tool_calls[0].index",
        "Example 1, message 2: unexpected key 'index'",
    ),
    (
        118,
        chat(USER, ANSWER, parallel_tool_calls="no"),
        "parallel_tool_calls",
        "Example 1: 'parallel_tool_calls' must be a boolean",
    ),
    (
        118,
        chat({**USER, "name": 7}, ANSWER),
        "messages[0].name",
        "Example 1, message 1: 'name' must be a string",
    ),
    (
        125,
        {"input": chat(USER), "preferred_output": [ANSWER], "non_preferred_output": [ANSWER]},
        "$",
        "Example 1 is in preference format, expected chat",
    ),
]


def report_on(*rows: JsonValue) -> Report:
    return validate(read_lines(json.dumps(row).encode() + b"\n" for row in rows), Rules())


@pytest.mark.parametrize(("case", "row", "field", "message"), BAD)
def test_bad_rows(case: int, row: JsonObject, field: str, message: str):
    report = report_on(row)
    (problem,) = report.problems
    assert (problem.line, problem.field, problem.message) == (1, field, message), case
    assert problem.cure
    error = report.error()
    assert error is not None
    assert (error.code, error.param, error.line) == ("invalid_training_file", "training_file", 1)
    assert error.message == PREFIX + message


GOOD: list[JsonObject] = [
    chat(USER, ANSWER),
    chat({"role": "system", "content": "S"}, {"role": "developer", "content": "D"}, USER, USER, ANSWER),
    chat(USER, {**ANSWER, "weight": 0}, USER, {**ANSWER, "weight": 1}),
    chat({**USER, "name": "ana"}, {**ANSWER, "refusal": None, "tool_calls": None, "function_call": None}),
    chat(USER, {"role": "assistant", "content": None, "refusal": "I cannot."}),
    chat({"role": "user", "content": [{"type": "text", "text": "a"}]}, ANSWER),
    chat(USER, calling(call()), tools=[TOOL], parallel_tool_calls=False),
    chat(USER, calling(call()), RESULT, ANSWER, tools=[TOOL]),
    chat(USER, {"role": "assistant", "content": ""}),
    chat(
        USER,
        {"role": "assistant", "content": None, "function_call": {"name": "dose", "arguments": "{}"}},
        {"role": "function", "name": "dose", "content": None},
        ANSWER,
        functions=[{"name": "dose"}],
    ),
]


@pytest.mark.parametrize("row", GOOD)
def test_good_rows(row: JsonObject):
    report = report_on(*[row] * 10)
    assert (report.error(), report.n_examples, report.n_problems, report.n_warnings) == (None, 10, 0, 0)


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        ("{}", "lack 'drug'"),
        ('{"drug": "c"}', "do not fit the schema of 'drug'"),
        ('{"drug": 7}', "do not fit the schema of 'drug'"),
        ('{"drug": "a", "mg": true}', "do not fit the schema of 'mg'"),
        ('{"drug": "a", "mg": null}', "do not fit the schema of 'mg'"),
        ('{"drug": "a", "route": "iv"}', "have an undeclared 'route'"),
    ],
)
def test_arguments_that_break_their_schema_are_a_warning(arguments: str, reason: str):
    report = report_on(*[chat(USER, calling(call(arguments)), tools=[TOOL])] * 10)
    assert report.error() is None and report.n_warnings == 10
    assert report.warnings[0].message == f"Example 1, message 2: arguments of tool 'dose' {reason}"
