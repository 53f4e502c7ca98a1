import tracemalloc
from collections.abc import Iterator
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from afina.data.jsonl import MAX_LINE_BYTES, Line, read_lines, refusal
from afina.data.report import Notice, Problem

BOM = b"\xef\xbb\xbf"


def found(data: bytes) -> list[object]:
    """Values of sound lines and messages of the others."""
    return [item.value if isinstance(item, Line) else item.message for item in read_lines([data])]


ACCEPTED: list[tuple[bytes, list[object]]] = [
    (b"", []),
    (b"\n", []),
    (b'{"a":1}\n{"a":2}\n', [{"a": 1}, {"a": 2}]),
    (b'{"a":1}\n{"a":2}', [{"a": 1}, {"a": 2}]),
    (b'{"a":1}\r\n{"a":2}\r\n', [{"a": 1}, {"a": 2}]),
    (b'{"a":1}\n\n \t\r\n', [{"a": 1}]),
    ('{"a":"\u2028\u0085"}\n'.encode(), [{"a": "\u2028\u0085"}]),
]


@pytest.mark.parametrize(("data", "expected"), ACCEPTED)
def test_accepted(data: bytes, expected: list[object]):
    assert found(data) == expected


# The numbers are those of the project's list of bad inputs.
REFUSED: list[tuple[int, bytes, list[object]]] = [
    (59, b'{"a":1}\n' + BOM + b'{"a":2}', [{"a": 1}, "Line 2: unexpected BOM"]),
    (61, b'{"a":1}\r{"a":2}\r', ["Line 1: expected one JSON object per line (found CR line ends)"]),
    (62, '{"a":1}\n'.encode("utf-16"), ["file is UTF-16; save as UTF-8"]),
    (62, '{"a":1}\n'.encode("utf-16-be"), ["file is UTF-16; save as UTF-8"]),
    (62, '{"a":1}\n'.encode("utf-16-le"), ["file is UTF-16; save as UTF-8"]),
    (62, '{"a":1}\n'.encode("utf-32"), ["file is UTF-32; save as UTF-8"]),
    (62, '{"a":1}\n'.encode("utf-32-be"), ["file is UTF-32; save as UTF-8"]),
    (64, b'{"a":"\xc0\xaf"}', ["Line 1 is not valid UTF-8; save as UTF-8"]),
    (64, b'{"a":1}\n{"a":"\xed\xa0\x80"}', [{"a": 1}, "Line 2 is not valid UTF-8; save as UTF-8"]),
    (65, b'{"a":"\x00"}', ["Line 1: NUL byte"]),
    (67, b'{"a":1}\n\n\n{"a":2}', [{"a": 1}, "Line 2 is empty", "Line 3 is empty", {"a": 2}]),
    (67, b'\n{"a":2}', ["Line 1 is empty", {"a": 2}]),
    (
        69,
        b'{\n "a": 1\n}\n',
        ["Line 1: incomplete JSON object (multi-line?)", "Line 2 is not JSON", "Line 3 is not JSON"],
    ),
    (70, b"prompt,completion\n", ["Line 1 is not JSON"]),
    (70, b'"prompt","completion"\n', ["Line 1 is not JSON"]),
    (74, b"{'a': 1}", ["Line 1, column 2: expecting property name enclosed in double quotes"]),
    (74, b'{"a": 1} # note', ["Line 1, column 10: extra data"]),
    (
        75,
        b"null\n7\n[1]",
        ["Line 1: expected an object", "Line 2: expected an object", "Line 3: expected an object"],
    ),
    (76, b'{"messages":1,"messages":2}', ["Line 1: duplicate key 'messages'"]),
    (77, b'{"a":' + b"[" * 100_000, ["Line 1: nesting deeper than 64"]),
    (79, b'{"a":' + b"1" * 5000 + b"}", ["Line 1: number out of range"]),
    (79, b'{"a":1e999}', ["Line 1: not a finite number"]),
    (80, rb'{"a":"\ud800"}', ["Line 1: invalid Unicode escape"]),
    (47, b"PK\x03\x04" + bytes(60), ["looks like a ZIP archive, expected JSONL"]),
    (47, b"\x1f\x8b\x08" + bytes(60), ["looks like a GZIP archive, expected JSONL"]),
    (47, b"\x80\x04\x95" + bytes(60), ["looks like a Python pickle, expected JSONL"]),
]


@pytest.mark.parametrize(("case", "data", "expected"), REFUSED)
def test_refused(case: int, data: bytes, expected: list[object]):
    assert found(data) == expected, case


def test_trailing_comma_is_found_by_column():
    (message,) = found(b'{"a": 1,}')
    assert str(message).startswith("Line 1, column ")


def test_a_bom_at_the_start_is_a_notice():
    notice, line = read_lines([BOM + b'{"a":1}'])
    assert isinstance(notice, Notice) and "byte order mark" in notice.message
    assert line == Line(1, {"a": 1})


def test_every_finding_says_where_and_how_to_mend_it():
    data = b"\n".join(data for case, data, _ in REFUSED if case not in (47, 62))
    problems = [item for item in read_lines([data]) if isinstance(item, Problem)]
    assert len(problems) > 15
    assert all(p.line and p.field and p.message and p.cure for p in problems)


def test_no_message_quotes_the_line():
    for _, data, _ in REFUSED:
        secret = data.replace(b'"a"', b'"a":"Jane Roe","a"')
        assert "Jane" not in " ".join(map(str, (m for m in found(secret) if isinstance(m, str))))


def test_a_long_line_is_refused_without_being_held():
    def chunks() -> Iterator[bytes]:
        yield b'{"a":1}\n{"a":"'
        for _ in range(100):
            yield b"x" * 2**20
        yield b'"}\n{"a":3}\n'

    tracemalloc.start()
    result = list(read_lines(chunks()))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert [item.number if isinstance(item, Line) else item.message for item in result] == [
        1,
        "Line 2 is longer than 8 MiB",
        3,
    ]
    assert peak < 3 * MAX_LINE_BYTES


def test_the_longest_line_is_accepted():
    line = b'{"a":"' + b"x" * (MAX_LINE_BYTES - 8) + b'"}'
    assert len(line) == MAX_LINE_BYTES
    assert [type(item) for item in read_lines([line + b"\n" + line])] == [Line, Line]
    assert found(line + b" ") == ["Line 1 is longer than 8 MiB"]


def test_refusal_looks_at_eight_bytes():
    assert refusal(b'{"messag') is None
    assert refusal(b"PAR1\x15\x04\x15\x00") == "looks like a Parquet file, expected JSONL"


pieces = st.sampled_from(
    [
        b'{"a":1}',
        b"\n",
        b"\r\n",
        b"\r",
        b" ",
        BOM,
        b"{",
        b'"',
        b"null",
        b"\xff\xfe",
        b"\x00",
        b"PK\x03\x04",
        b"\xc3\xb1",
    ]
)
files = st.binary(max_size=300) | st.lists(pieces, max_size=30).map(b"".join)


@given(files, st.lists(st.integers(0, 300)))
def test_chunks_never_change_the_result(data: bytes, cuts: list[int]):
    places = sorted({0, len(data), *(cut for cut in cuts if cut < len(data))})
    chunks = [data[start:end] for start, end in pairwise(places)]
    assert (
        list(read_lines(chunks)) == list(read_lines([data])) == list(read_lines([bytes((b,)) for b in data]))
    )


@given(files)
def test_numbers_of_lines_only_grow(data: bytes):
    numbers = [item.number if isinstance(item, Line) else item.line for item in read_lines([data])]
    assert numbers == sorted(numbers) and all(number >= 1 for number in numbers)
