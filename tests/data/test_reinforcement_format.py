"""The reinforcement format: what is refused, in which words, and what becomes of a sound row."""

import json

import pytest

from afina.data import reinforcement_format, tokens
from afina.data.examples import rendered
from afina.data.faults import Fault
from afina.data.jsonl import read_lines
from afina.data.tokens import TokenFile
from afina.data.validate import Rules, validate
from afina.errors import DataError

ASK = {"role": "user", "content": "What is two and two?"}
ROW = {"messages": [ASK], "answer": "4", "steps": [{"of": 2}]}
CALL = {"id": "call_1", "type": "function", "function": {"name": "sum", "arguments": "{}"}}
TOOL = {"type": "function", "function": {"name": "sum", "parameters": {"type": "object", "properties": {}}}}


def data(*rows):
    return read_lines(json.dumps(row).encode() + b"\n" for row in rows)


def report(*rows, **rules):
    return validate(data(*rows), Rules(format="reinforcement", **rules))


def nested(depth):
    return [] if depth == 1 else [nested(depth - 1)]


def test_a_sound_row():
    found = report(ROW)
    assert (found.format, found.n_examples, found.n_problems, found.n_warnings) == ("reinforcement", 1, 0, 0)
    assert (found.statistics.messages, found.statistics.trained_messages) == (1, 0)


def test_everything_beside_the_prompt_is_the_item():
    row = ROW | {"tools": [TOOL], "parallel_tool_calls": False}
    assert reinforcement_format.item(row) == {"answer": "4", "steps": [{"of": 2}]}
    talk = reinforcement_format.prompt(row | {"functions": [{"name": "not a tool here"}]})
    assert (talk.messages, talk.tools) == ([ASK], [TOOL])


@pytest.mark.parametrize(
    "row",
    [
        {"messages": [ASK]},
        {"messages": [{"role": "system", "content": "Count."}, ASK]},
        {"messages": [ASK, {"role": "assistant", "content": "4", "weight": 0}, ASK]},
        {"messages": [ASK], "tools": [TOOL], "parallel_tool_calls": True, "answer": None},
        {
            "messages": [
                ASK,
                {"role": "assistant", "tool_calls": [CALL]},
                {"role": "tool", "tool_call_id": "call_1", "content": "4"},
                ASK,
            ],
            "tools": [TOOL],
        },
        ROW | {"deep": nested(16)},
        ROW | {"item": {"answer": 5}},
    ],
)
def test_rows_that_are_sound(row):
    assert report(row).problems == ()


@pytest.mark.parametrize(
    ("row", "field", "said"),
    [
        ({"answer": 1}, "messages", "Example 1 is missing key 'messages'"),
        ({"messages": []}, "messages", "Example 1: 'messages' must be a non-empty array"),
        ({"messages": "hi"}, "messages", "Example 1: 'messages' must be a non-empty array"),
        ({"messages": ["hi"]}, "messages[0]", "Example 1, message 1: expected an object"),
        (
            {"messages": [ASK, {"role": "assistant", "content": "4"}]},
            "messages[1].role",
            "Example 1: last message must be from user",
        ),
        (
            {"messages": [ASK, {"role": "system", "content": "4"}]},
            "messages[1].role",
            "Example 1: last message must be from user",
        ),
        (
            {"messages": [{"role": "bot", "content": "4"}]},
            "messages[0].role",
            "Example 1, message 1: role must be one of system, developer, user, assistant, tool (function)",
        ),
        (
            {"messages": [{"content": "4"}]},
            "messages[0].role",
            "Example 1, message 1 Discriminator 'role' is missing in value",
        ),
        (
            {"messages": [{"role": "user"}]},
            "messages[0].content",
            "Example 1, message 1 needs 'content'",
        ),
        (
            ROW | {"deep": nested(17)},
            "deep",
            "Example 1: 'deep' is nested deeper than 16",
        ),
        (
            ROW | {"huge": "x" * 300_000},
            "huge",
            "Example 1: 'huge' has more than 262144 characters",
        ),
        (
            ROW | {"item": {"messages": []}},
            "item",
            "Example 1: key 'messages' is shadowed by 'item'",
        ),
        (
            ROW | {"tools": "none"},
            "tools",
            None,
        ),
        (
            {"input": {"messages": [ASK]}, "preferred_output": [], "non_preferred_output": []},
            "$",
            "Example 1 is in preference format, expected reinforcement",
        ),
    ],
)
def test_rows_that_are_refused(row, field, said):
    found = report(row)
    assert found.n_problems == 1, found.problems
    problem = found.problems[0]
    assert problem.field == field
    assert said is None or problem.message == said
    assert problem.cure and "xxxx" not in problem.message


def test_a_prompt_is_no_chat_example():
    found = validate(data({"messages": [ASK]}), Rules(format="chat"))
    assert [problem.message for problem in found.problems] == [
        "Example 1 must contain at least one assistant message"
    ]


def test_others_may_want_more_of_a_row():
    def also(row, number):
        yield Fault("answer", f": example {number} is odd", "even it out")

    found = report(ROW, {"messages": []}, also=also)
    assert [problem.message for problem in found.problems] == [
        "Example 1: example 1 is odd",
        "Example 2: 'messages' must be a non-empty array",
    ]


def test_a_row_becomes_the_prompt_that_serving_would_render(tiny, tmp_path):
    path = tmp_path / "prompts.safetensors"
    stats = tokens.write(
        path, rendered(data(ROW, ROW), tiny, format="reinforcement"), max_length=64, format="reinforcement"
    )
    ids, weights = TokenFile.open(path)[1]
    assert ids.tolist() == tiny.prompt([ASK])
    assert weights.tolist() == [0] * len(ids)
    assert (stats.examples, stats.rows, stats.supervised_tokens, stats.truncated) == (2, 2, 0, 0)


def test_a_prompt_is_never_cut(tiny, tmp_path):
    prompt = len(tiny.prompt([ASK]))
    with pytest.raises(DataError) as failed:
        tokens.write(
            tmp_path / "prompts.safetensors",
            rendered(data(ROW), tiny, format="reinforcement"),
            max_length=prompt,
            format="reinforcement",
        )
    assert (
        f"Example 1: its prompt leaves no room for an answer within {prompt} tokens" in failed.value.message
    )
    assert failed.value.code == "invalid_training_file"
