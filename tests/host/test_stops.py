"""No part of a stop string gets out, and it does not matter how the text comes in."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

import afina.base
from afina.data.render import Renderer
from afina.engine.types import Token
from afina.host.stops import StopStrings, Text


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


TOKENS = Renderer(afina.base.path())


def read(ids: list[int], stops: list[str]) -> tuple[str, list[int], list[list[int]]]:
    """The text, the ids of the tokens in it, and those that came with each token."""
    text, shown, steps = Text(TOKENS.stream_decoder(), StopStrings(stops)), "", list[list[int]]()
    for place, id in enumerate(ids):
        new, tokens = text.feed(Token(id, -1.0, finish="length" if place == len(ids) - 1 else None))
        shown += new
        steps.append([token.id for token in tokens])
        if text.stopped:
            break
    return shown, [id for step in steps for id in step], steps


def ids_of(text: str) -> list[int]:
    return [TOKENS.ids_by_bytes[bytes([byte])] for byte in text.encode()]


def test_tokens_come_with_their_text_and_not_before():
    word = ids_of("añ")
    assert read(word, []) == ("añ", word, [[word[0]], [], word[1:]])
    assert read(word[:2], [])[:2] == ("a\ufffd", word[:2]), "what is left at the end comes"
    assert read(ids_of("a to b"), ["tow"])[2][2:5] == [[], [], ids_of("to ")]


def test_no_token_comes_for_a_stop_string():
    assert read(ids_of("one two three"), ["two"])[:2] == ("one ", ids_of("one "))
    over = [TOKENS.ids_by_bytes[b" the"], *ids_of("x")]
    assert read(over, ["he"])[:2] == (" t", over[:1]), "a token that is partly shown belongs to the text"
    assert read(ids_of("stop"), ["stop"])[:2] == ("", [])
