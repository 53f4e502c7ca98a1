"""The report on a whole file: counts, order, the error of the job."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from afina.data.jsonl import read_lines
from afina.data.render import Renderer
from afina.data.report import MAX_KEPT, FileKind, Report
from afina.data.strict_json import JsonObject, JsonValue
from afina.data.validate import Rules, validate
from afina.errors import DataError

USER: JsonObject = {"role": "user", "content": "Hi"}
ANSWER: JsonObject = {"role": "assistant", "content": "Hello."}


def chat(*messages: JsonValue, **more: JsonValue) -> JsonObject:
    return {"messages": [*messages], **more}


def lines_of(*rows: JsonValue) -> bytes:
    return b"".join(json.dumps(row).encode() + b"\n" for row in rows)


def report_on(data: bytes, file: FileKind = "training", renderer: Renderer | None = None) -> Report:
    return validate(read_lines([data]), Rules(file, renderer))


def tool_chat() -> JsonObject:
    function: JsonObject = {"name": "dose", "arguments": "{}"}
    call: JsonObject = {"id": "c1", "type": "function", "function": function}
    result: JsonObject = {"role": "tool", "tool_call_id": "c1", "content": "5"}
    tools: JsonValue = [{"type": "function", "function": {"name": "dose"}}]
    return chat(USER, {"role": "assistant", "tool_calls": [call]}, result, ANSWER, tools=tools)


@pytest.mark.parametrize("count", [0, 1, 9])
def test_too_few_examples(count: int):
    error = report_on(lines_of(*[chat(USER, ANSWER)] * count)).error()
    assert error is not None
    assert error.message == f"Training file has {count} example(s), but must have at least 10 examples"
    assert (error.code, error.param) == ("invalid_n_examples", "training_file")


def test_one_example_is_enough_for_validation():
    assert report_on(lines_of(chat(USER, ANSWER)), "validation").error() is None
    error = report_on(b"", "validation").error()
    assert error is not None
    assert error.message == "Validation file has 0 example(s), but must have at least 1 examples"
    assert (error.code, error.param) == ("invalid_n_examples", "validation_file")


def test_a_broken_line_is_reported_before_a_short_file():
    rows = [chat(USER, ANSWER)] * 6 + [chat(USER, {"content": "Hello."})]
    error = report_on(lines_of(*rows)).error()
    assert error is not None and error.code == "invalid_training_file"
    assert "Example 7, message 2 Discriminator 'role' is missing in value" in error.message


def test_a_broken_validation_file_says_so():
    error = report_on(b"null\n", "validation").error()
    assert error is not None
    assert error.message == (
        "The job failed due to an invalid validation file. Invalid file format. Line 1: expected an object"
    )
    assert (error.code, error.param) == ("invalid_validation_file", "validation_file")


def test_messages_that_are_no_array():
    (problem,) = report_on(lines_of({"messages": "Hi"})).problems
    assert problem.message == "Example 1: 'messages' must be a non-empty array"


def test_twenty_problems_are_kept_and_all_are_counted():
    report = report_on(lines_of(*[chat(USER)] * 30))
    assert (len(report.problems), report.n_problems) == (MAX_KEPT, 30)
    error = report.error()
    assert isinstance(error, DataError)
    assert error.message.endswith("at least one assistant message (the first of 30 problems)")


def test_every_problem_of_a_row_is_found_on_its_line():
    report = report_on(lines_of(chat(USER, ANSWER), chat({"role": "bot"}, {"role": "user"}, 7, x=1)))
    assert [(p.line, p.field) for p in report.problems] == [
        (2, "messages[0].role"),
        (2, "messages[1].content"),
        (2, "messages[2]"),
        (2, "x"),
    ]


def test_statistics_count_sound_examples_only():
    report = report_on(
        lines_of(chat(USER, ANSWER, USER, {**ANSWER, "weight": 0}, ANSWER), chat(USER), tool_chat())
    )
    assert report.n_examples == 3
    assert report.statistics.model_dump() == {
        "examples": 2,
        "messages": 9,
        "trained_messages": 4,
        "characters": 31,
        "longest_characters": 22,
        "with_tools": 1,
        "without_system": 2,
    }


def test_spelt_control_tokens_are_a_warning(tiny: Renderer):
    rows = [chat(USER, ANSWER)] * 9 + [chat({"role": "user", "content": "<|im_end|>"}, ANSWER)]
    report = report_on(lines_of(*rows), renderer=tiny)
    assert report.error() is None
    (warning,) = report.warnings
    assert warning.line == 10 and warning.cure
    assert "spells a control token" in warning.message and "<|im_end|>" not in warning.message


def test_a_report_can_be_stored():
    report = report_on(lines_of(chat(USER)))
    assert Report.model_validate_json(report.model_dump_json()) == report


SECRET = "Jane Roe 536-90-4399"
leaves = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.just(SECRET)
    | st.sampled_from(["user", "assistant", "text"])
)
keys = st.sampled_from(
    [
        "messages",
        "role",
        "content",
        "weight",
        "tools",
        "tool_calls",
        "function",
        "name",
        "arguments",
        "type",
        "id",
    ]
)
json_values = st.recursive(
    leaves,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(keys, inner, max_size=5),
    max_leaves=25,
)
messages = st.fixed_dictionaries(
    {"role": st.sampled_from(["user", "assistant", "tool", "function", "system"])},
    optional={
        "content": json_values,
        "weight": json_values,
        "tool_calls": json_values,
        "function_call": json_values,
        "tool_call_id": json_values,
        "name": json_values,
        "refusal": json_values,
    },
)
rows = st.fixed_dictionaries(
    {"messages": st.lists(messages, max_size=4)}, optional={"tools": json_values, "functions": json_values}
)


@given(rows | json_values)
def test_any_json_gets_a_report_that_quotes_no_data(row: JsonValue):
    text = report_on(json.dumps(row).encode()).model_dump_json()
    assert SECRET not in text.replace(f"tool '{SECRET}' is not declared", "")
