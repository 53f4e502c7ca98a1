"""Tool calls in text: found whole or in pieces, and never where there are none."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from afina.schemas.completions import CompletionChoice
from afina.serving.choices import ChoiceStream, whole_choice
from afina.serving.tools import CallReader

CALL = '<tool_call>\n{"name": "f", "arguments": {"a": 1}}\n</tool_call>'


def read(*pieces: str) -> tuple[str, list[tuple[str, str]]]:
    """What is shown, and the calls, when the text comes in these pieces."""
    reader = CallReader()
    shown = "".join([reader.feed(piece) for piece in pieces]) + reader.flush()
    return shown, [(call.function.name, call.function.arguments) for call in reader.calls]


@pytest.mark.parametrize(
    ("text", "shown", "calls"),
    [
        ("Hello.\n", "Hello.\n", []),
        (CALL, "", [("f", '{"a": 1}')]),
        (f"Wait.\n{CALL}", "Wait.", [("f", '{"a": 1}')]),
        (f"{CALL}\n{CALL}\n", "", [("f", '{"a": 1}')] * 2),
        (f"{CALL} then", " then", [("f", '{"a": 1}')]),
        ('<tool_call>{"name": "g"}</tool_call>', "", [("g", "{}")]),
        ('<tool_call>{"name": "g", "arguments": "{\\"x\\": 2}"}</tool_call>', "", [("g", '{"x": 2}')]),
        ("<tool_call>not json</tool_call>", "<tool_call>not json</tool_call>", []),
        ("<tool_call>[1]</tool_call>", "<tool_call>[1]</tool_call>", []),
        ('<tool_call>{"name": 5}</tool_call>', '<tool_call>{"name": 5}</tool_call>', []),
        ('<tool_call>{"name": "f"', '<tool_call>{"name": "f"', []),
        ("a < b and <tool", "a < b and <tool", []),
        ("</tool_call> alone", "</tool_call> alone", []),
    ],
)
def test_what_is_a_call(text: str, shown: str, calls: list[tuple[str, str]]):
    assert read(text) == (shown, calls)


@settings(max_examples=200, deadline=None)
@given(
    st.lists(st.sampled_from([CALL, "a", " ", "\n", "<tool_call>", "</tool_call>", "{", "<"]), max_size=8),
    st.data(),
)
def test_pieces_change_nothing(parts: list[str], data: st.DataObject):
    text = "".join(parts)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(text)), max_size=6)))
    pieces = [text[start:end] for start, end in zip([0, *cuts], [*cuts, len(text)], strict=True)]
    assert read(*pieces) == read(text)


def test_only_the_first_call_where_several_are_not_wanted():
    choice = CompletionChoice(index=0, text=CALL + CALL, finish_reason="stop")
    assert len(whole_choice(choice, reads_calls=True, several=True).message.tool_calls or []) == 2
    whole = whole_choice(choice, reads_calls=True, several=False)
    assert len(whole.message.tool_calls or []) == 1 and whole.finish_reason == "tool_calls"
    chunks = list(ChoiceStream(0, reads_calls=True, several=False).feed(choice))
    assert sum(len(chunk.delta.tool_calls or []) for chunk in chunks) == 1


def test_a_call_that_was_cut_short_is_no_call():
    choice = CompletionChoice(index=0, text=CALL[:20], finish_reason="length")
    whole = whole_choice(choice, reads_calls=True, several=True)
    assert (whole.message.content, whole.finish_reason) == (CALL[:20], "length")
    assert "tool_calls" not in json.loads(whole.message.model_dump_json())
