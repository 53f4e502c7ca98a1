import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from afina.data.strict_json import MAX_DEPTH, StrictJsonError, clipped, loads

REFUSED: list[tuple[bytes, str, str, int | None]] = [
    (b"", "incomplete", "expecting value", 1),
    (b'{"a": 1', "incomplete", "expecting ',' delimiter", 8),
    (b'{"a": "x', "incomplete", "unterminated string starting at", 7),
    (b"{'a': 1}", "syntax", "expecting property name enclosed in double quotes", 2),
    (b'{"a": 1} {"b": 2}', "syntax", "extra data", 10),
    (b'{"a": 1} // b', "syntax", "extra data", 10),
    (b'{"a": NaN}', "not_finite", "not a finite number", None),
    (b'{"a": -Infinity}', "not_finite", "not a finite number", None),
    (b'{"a": 1e999}', "not_finite", "not a finite number", None),
    (b'{"a": ' + b"9" * 5000 + b"}", "out_of_range", "number out of range", None),
    (b'{"a": 1, "b": 2, "a": 3}', "duplicate_key", "duplicate key 'a'", None),
    (b'{"x": {"\xc3\xb1\\n": 1, "\xc3\xb1\\n": 2}}', "duplicate_key", "duplicate key '??'", None),
    (rb'{"a": "\ud800"}', "surrogate", "invalid Unicode escape", None),
    (rb'{"\uDFFF": 1}', "surrogate", "invalid Unicode escape", None),
    (b'{"a": "\xed\xa0\x80"}', "encoding", "not valid UTF-8", 8),
    (b'{"a": "\xc0\xaf"}', "encoding", "not valid UTF-8", 8),
    ('{"a": 1}'.encode("utf-16"), "encoding", "not valid UTF-8", 1),
    ('{"a": 1}'.encode("utf-16-le"), "nul", "NUL byte", 2),
    (b'{"a": "\x00"}', "nul", "NUL byte", 8),
    (b"[" * 100_000, "depth", "nesting deeper than 64", 65),
    (b'{"a":' * 65 + b"1" + b"}" * 65, "depth", "nesting deeper than 64", 321),
    (b'{"a": "\t"}', "syntax", "invalid control character at", 8),
]


@pytest.mark.parametrize(("data", "kind", "message", "position"), REFUSED)
def test_refused_with_kind_message_and_column(data: bytes, kind: str, message: str, position: int | None):
    with pytest.raises(StrictJsonError) as caught:
        loads(data)
    assert (caught.value.kind, caught.value.message, caught.value.position) == (kind, message, position)


@pytest.mark.parametrize(
    ("data", "value"),
    [
        (rb'"\ud83d\ude00"', "😀"),
        (rb'"\\ud800"', "\\ud800"),
        ('"\u2028\u0085"'.encode(), "\u2028\u0085"),
        (b"[" * 64 + b"]" * 64, None),
        (b'["' + b"[" * 200 + rb"\"" + b"{" * 200 + b'"]', ["[" * 200 + '"' + "{" * 200]),
        (b" -9007199254740991 ", -9007199254740991),
    ],
)
def test_unusual_but_right(data: bytes, value: object):
    loaded = loads(data)
    assert value is None or loaded == value


def test_depth_is_found_fast_in_a_string_of_escapes_that_never_ends():
    with pytest.raises(StrictJsonError, match="unterminated string"):
        loads(b'"' + rb"\"" * 500_000 + b"[" * (MAX_DEPTH + 1))


@given(st.binary(max_size=200))
def test_any_bytes_are_a_value_or_a_strict_json_error(data: bytes):
    try:
        value = loads(data)
    except StrictJsonError:
        return
    assert json.loads(data) == value


values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda children: st.lists(children, max_size=4) | st.dictionaries(st.text(), children, max_size=4),
    max_leaves=20,
)


@given(values, st.booleans())
def test_what_is_written_is_read(value: object, ascii_only: bool):
    assert loads(json.dumps(value, ensure_ascii=ascii_only).encode()) == value


def test_clipped_names_are_short_and_printable():
    assert clipped("é\n" + "x" * 100) == "??" + "x" * 62
