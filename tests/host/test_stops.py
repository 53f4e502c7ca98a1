"""No part of a stop string gets out, and it does not matter how the text comes in."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from afina.host.stops import StopStrings


def cut(text: str, stops: list[str]) -> str:
    """The text before the stop string that is complete first, looked for letter by letter."""
    for end in range(1, len(text) + 1):
        if here := [stop for stop in stops if text[:end].endswith(stop)]:
            return text[: end - max(map(len, here))]
    return text


def shown(pieces: list[str], stops: list[str]) -> str:
    cutter = StopStrings(stops)
    return "".join(cutter.feed(piece) for piece in pieces) + cutter.flush()


@pytest.mark.parametrize(
    ("pieces", "stops", "expected"),
    [
        (["one two three"], [], "one two three"),
        (["one two three"], ["two"], "one "),
        (["one t", "w", "o three"], ["two"], "one "),
        (["one t", "en"], ["two"], "one ten"),
        (["one tw"], ["two"], "one tw"),
        (["two"], ["two"], ""),
        (["aab"], ["ab"], "a"),
        (["a", "a", "b"], ["ab"], "a"),
        (["abcd"], ["abcd", "c"], "ab"),
        (["ab", "cd"], ["abcd", "c"], "ab"),
        (["xabc"], ["c", "abc", "bc"], "x"),
        (["¿qué", "?\n", "\nno"], ["\n\n"], "¿qué?"),
    ],
)
def test_what_is_shown(pieces, stops, expected):
    assert shown(pieces, stops) == expected


letters = st.text("ab", max_size=12)


@given(st.lists(letters, max_size=8), st.lists(st.text("ab", min_size=1, max_size=4), max_size=3))
def test_how_the_text_is_cut_into_pieces_makes_no_difference(pieces, stops):
    text = "".join(pieces)
    assert shown(pieces, stops) == shown([text], stops) == shown(list(text), stops) == cut(text, stops)


@given(letters, st.lists(st.text("ab", min_size=1, max_size=4), min_size=1, max_size=3))
def test_only_what_might_become_a_stop_string_is_held_back(text, stops):
    cutter = StopStrings(stops)
    given_out = cutter.feed(text)
    if not cutter.found:
        held = text.removeprefix(given_out)
        assert held == "" or any(stop.startswith(held) for stop in stops)


def test_after_a_stop_string_nothing_comes():
    cutter = StopStrings(["."])
    assert [cutter.feed("a.b"), cutter.feed("c"), cutter.flush()] == ["a", "", ""]
    assert cutter.found
