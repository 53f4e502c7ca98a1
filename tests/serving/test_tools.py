"""Tool calls in text: found whole or in pieces, and never where there are none."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from afina.schemas.chat_replies import CalledFunction
from afina.schemas.completions import CompletionChoice
from afina.serving.choices import ChoiceStream, whole_choice
from afina.serving.offers import Offer
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
    assert len(whole_choice(choice, offer=Offer(())).message.tool_calls or []) == 2
    one = Offer((), several=False)
    whole = whole_choice(choice, offer=one)
    assert len(whole.message.tool_calls or []) == 1 and whole.finish_reason == "tool_calls"
    chunks = list(ChoiceStream(0, offer=one).feed(choice))
    assert sum(len(chunk.delta.tool_calls or []) for chunk in chunks) == 1


def test_a_call_whose_name_was_cut_short_is_no_call():
    choice = CompletionChoice(index=0, text=CALL[:20], finish_reason="length")
    whole = whole_choice(choice, offer=Offer(()))
    assert (whole.message.content, whole.finish_reason) == (CALL[:20], "length")
    assert not {"tool_calls", "function_call"} & json.loads(whole.message.model_dump_json()).keys()


@pytest.mark.parametrize(
    ("end", "arguments"), [(24, ""), (30, ""), (39, ""), (41, '{"'), (47, '{"a": 1}'), (55, '{"a": 1}')]
)
def test_a_call_that_was_cut_short_has_the_arguments_that_there_are(end: int, arguments: str):
    cut = CompletionChoice(index=0, text=f"Wait.\n{CALL[:end]}", finish_reason="length")
    whole = whole_choice(cut, offer=Offer(()))
    assert whole.message.content == "Wait." and whole.message.tool_calls
    assert whole.message.tool_calls[0].function == CalledFunction(name="f", arguments=arguments)
    assert whole.finish_reason == "length"


def test_a_key_that_comes_twice_counts_where_it_comes_last():
    text = '<tool_call>{"name": "f", "arguments": {"a": 1, "a": 2}}</tool_call>'
    assert read(text) == ("", [("f", '{"a": 2}')])
    for broken in ("[" * 5000, "NaN", '{"a": Infinity}'):
        assert read(f'<tool_call>{{"name": "f", "arguments": {broken}}}</tool_call>')[1] == []


@pytest.mark.parametrize(
    ("offer", "reason"),
    [
        (Offer((), named=True), "stop"),
        (Offer((), legacy=True), "function_call"),
        (Offer((), legacy=True, named=True), "stop"),
        (Offer((), required=True), "tool_calls"),
    ],
)
def test_why_a_call_ends_a_reply(offer: Offer, reason: str):
    choice = CompletionChoice(index=0, text=CALL, finish_reason="stop")
    whole = whole_choice(choice, offer=offer)
    assert whole.finish_reason == reason and whole.message.content is None
    assert (whole.message.function_call is not None) is offer.legacy is (whole.message.tool_calls is None)
    chunks = list(ChoiceStream(0, offer=offer).feed(choice))
    assert chunks[-1].finish_reason == reason
    assert [bool(c.delta.function_call) for c in chunks] == [False, offer.legacy, False]
