"""The preference format: what is refused, in which words, and what becomes of a sound row."""

import json

import pytest

from afina.data import tokens
from afina.data.examples import rendered
from afina.data.jsonl import read_lines
from afina.data.tokens import TokenFile
from afina.data.validate import Rules, validate
from afina.errors import DataError

ROW = {
    "input": {"messages": [{"role": "user", "content": "Is it open?"}]},
    "preferred_output": [{"role": "assistant", "content": "Yes, until six."}],
    "non_preferred_output": [{"role": "assistant", "content": "No idea."}],
}
CALL = {"id": "call_1", "type": "function", "function": {"name": "hours", "arguments": "{}"}}
TOOL = {"type": "function", "function": {"name": "hours", "parameters": {"type": "object", "properties": {}}}}


def data(*rows):
    return read_lines(json.dumps(row).encode() + b"\n" for row in rows)


def report(*rows, **rules):
    return validate(data(*rows), Rules(format="preference", **rules))


def without(key):
    return {name: value for name, value in ROW.items() if name != key}


def messages(*roles):
    return [{"role": role, "content": f"text {place}"} for place, role in enumerate(roles)]


def test_a_sound_row():
    found = report(ROW)
    assert (found.format, found.n_examples, found.n_problems, found.n_warnings) == ("preference", 1, 0, 0)
    assert found.statistics.messages == 4
    assert found.statistics.trained_messages == 2


@pytest.mark.parametrize(
    ("row", "field", "said"),
    [
        (without("input"), "input", "Example 1 is missing key 'input'"),
        (without("preferred_output"), "preferred_output", "Example 1 is missing key 'preferred_output'"),
        (
            without("non_preferred_output"),
            "non_preferred_output",
            "Example 1 is missing key 'non_preferred_output'",
        ),
        (ROW | {"input": []}, "input", "Example 1: 'input' must be an object"),
        (
            ROW | {"input": {"messages": []}},
            "input.messages",
            "Example 1: 'input.messages' must be a non-empty array",
        ),
        (ROW | {"score": 1}, "score", "Example 1: unexpected key 'score'"),
        (
            ROW | {"input": ROW["input"] | {"n": 1}},
            "input.n",
            "Example 1: unexpected key 'n' in 'input'",
        ),
        (
            ROW | {"input": {"messages": messages("user", "assistant")}},
            "input.messages[1].role",
            "Example 1: input must not end with an assistant message",
        ),
        (
            ROW | {"preferred_output": "Yes."},
            "preferred_output",
            "Example 1: 'preferred_output' must be a non-empty array",
        ),
        (
            ROW | {"preferred_output": messages("user", "assistant")},
            "preferred_output[0].role",
            "Example 1: 'preferred_output' must contain assistant and tool messages only",
        ),
        (
            ROW | {"non_preferred_output": messages("assistant", "tool")},
            "non_preferred_output[1].role",
            "Example 1: 'non_preferred_output' must end with an assistant message",
        ),
        (
            ROW | {"non_preferred_output": ROW["preferred_output"]},
            "non_preferred_output",
            "Example 1: outputs are identical",
        ),
        (
            ROW | {"input": {"messages": messages("bot")}},
            "input.messages[0].role",
            "Example 1, message 1: role must be one of system, developer, user, assistant, tool (function)",
        ),
        (
            ROW | {"non_preferred_output": [{"role": "assistant", "content": 3}]},
            "non_preferred_output[0].content",
            "Example 1, non_preferred_output message 1: 'content' must be a string or array of parts",
        ),
        (
            ROW | {"preferred_output": [{"role": "assistant", "tool_calls": [CALL]}]},
            "input.tools",
            "Example 1, preferred_output message 1: 'tool_calls' needs 'tools' in the example",
        ),
        (
            {"messages": messages("user", "assistant")},
            "$",
            "Example 1 is in chat format, expected preference",
        ),
    ],
)
def test_what_is_refused(row, field, said):
    found = report(row)
    assert found.n_problems == 1, [p.message for p in found.problems]
    assert found.problems[0].message.startswith(said)
    assert found.problems[0].field.startswith(field)


def test_a_preference_in_a_chat_file_is_named():
    found = validate(data(ROW), Rules())
    assert found.problems[0].message == "Example 1 is in preference format, expected chat"
    assert "dpo" in found.problems[0].cure


def test_prompt_and_answers_become_three_rows(tiny):
    ((prompt, chosen, rejected),) = rendered(data(ROW), tiny, format="preference")
    assert prompt.ids == tiny.prompt(ROW["input"]["messages"])
    assert set(prompt.weights) == {0}
    for row, key in ((chosen, "preferred_output"), (rejected, "non_preferred_output")):
        (whole,) = tiny.example([*ROW["input"]["messages"], *ROW[key]])
        assert (prompt.ids + row.ids, prompt.weights + row.weights) == (whole.ids, whole.weights)


def test_what_the_assistant_said_before_is_not_trained(tiny):
    row = ROW | {"input": {"messages": messages("user", "assistant", "user")}}
    ((prompt, chosen, _),) = rendered(data(row), tiny, format="preference")
    assert set(prompt.weights) == {0} and 1 in chosen.weights


def test_answers_may_call_tools_and_go_on(tiny):
    answer = [
        {"role": "assistant", "tool_calls": [CALL]},
        {"role": "tool", "tool_call_id": "call_1", "content": "9 to 6"},
        {"role": "assistant", "content": "Until six."},
    ]
    row = ROW | {"input": ROW["input"] | {"tools": [TOOL]}, "preferred_output": answer}
    assert report(row).n_problems == 0
    ((prompt, chosen, _),) = rendered(data(row), tiny, format="preference")
    assert prompt.ids == tiny.prompt(ROW["input"]["messages"], [TOOL])
    assert "hours" in tiny.decode(prompt.ids)
    text = tiny.decode([i for i, w in zip(chosen.ids, chosen.weights, strict=True) if w])
    assert "hours" in text and "Until six." in text and "9 to 6" not in text


def test_answers_are_cut_and_prompts_are_not(tiny, tmp_path):
    (rows,) = rendered(data(ROW), tiny, format="preference")
    prompt = len(rows[0].ids)
    kept = tokens.write(tmp_path / "t", [rows], max_length=prompt + 2, format="preference")
    assert (kept.rows, kept.tokens, kept.truncated) == (3, prompt + 4, 1)
    assert TokenFile.open(tmp_path / "t")[0][0].tolist() == rows[0].ids
    with pytest.raises(DataError, match="Example 1: truncation"):
        tokens.write(tmp_path / "t", [rows], max_length=prompt, format="preference")
