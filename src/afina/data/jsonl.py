"""Bytes of a JSONL file to one JSON object a line, in bounded memory; knows no format of the objects.

Lines end at LF alone (CRLF is tolerated): `str.splitlines` would also cut at U+2028 inside a string.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from afina.data.report import Notice, Problem
from afina.data.strict_json import JsonObject, StrictJsonError, loads

MAX_LINE_BYTES = 8 * 2**20
_BOM = b"\xef\xbb\xbf"
_HEAD_BYTES = 8

# Byte order marks first: that of UTF-32 little-endian begins with that of UTF-16.
_SIGNATURES: tuple[tuple[bytes, str], ...] = (
    (b"\xff\xfe\0\0", "file is UTF-32; save as UTF-8"),
    (b"\0\0\xfe\xff", "file is UTF-32; save as UTF-8"),
    (b"{\0\0\0", "file is UTF-32; save as UTF-8"),
    (b"\0\0\0{", "file is UTF-32; save as UTF-8"),
    (b"\xff\xfe", "file is UTF-16; save as UTF-8"),
    (b"\xfe\xff", "file is UTF-16; save as UTF-8"),
    (b"{\0", "file is UTF-16; save as UTF-8"),
    (b"\0{", "file is UTF-16; save as UTF-8"),
    (b"PK\x03\x04", "looks like a ZIP archive, expected JSONL"),
    (b"\x1f\x8b", "looks like a GZIP archive, expected JSONL"),
    (b"BZh", "looks like a BZIP2 archive, expected JSONL"),
    (b"\xfd7zXZ\0", "looks like an XZ archive, expected JSONL"),
    (b"7z\xbc\xaf'\x1c", "looks like a 7-Zip archive, expected JSONL"),
    (b"\x28\xb5\x2f\xfd", "looks like a Zstandard archive, expected JSONL"),
    (b"\xd0\xcf\x11\xe0", "looks like an Office document, expected JSONL"),
    (b"%PDF", "looks like a PDF document, expected JSONL"),
    (b"PAR1", "looks like a Parquet file, expected JSONL"),
    (b"ARROW1", "looks like an Arrow file, expected JSONL"),
    *((bytes((0x80, version)), "looks like a Python pickle, expected JSONL") for version in range(2, 6)),
)


@dataclass(frozen=True)
class Line:
    """One object of the file; its number counts from 1 and is also that of the example."""

    number: int
    value: JsonObject


def refusal(head: bytes) -> str | None:
    """Why a file that begins with these eight bytes cannot be JSONL in UTF-8; None where it may be."""
    return next((reason for signature, reason in _SIGNATURES if head.startswith(signature)), None)


def read_lines(chunks: Iterable[bytes]) -> Iterator[Line | Problem | Notice]:
    """The file's objects and, in their places, what is wrong with other lines; never raises for its bytes.

    How the bytes are cut into chunks makes no difference. No more than one line and one chunk are held.
    """
    head, chunks = _peek(iter(chunks))
    reason = refusal(head)
    if reason is not None:
        yield Problem(
            line=1, field="$", message=reason, cure="upload a text file with one JSON object per line"
        )
        return
    blank_since: int | None = None
    for number, line in enumerate(_split(chunks), 1):
        if line is not None and not line.strip(b" \t\r"):
            blank_since = blank_since or number
            continue
        # Blank lines matter only when something follows them.
        for empty in range(blank_since or number, number):
            yield Problem(
                line=empty, field="$", message=f"Line {empty} is empty", cure="remove the empty line"
            )
        blank_since = None
        yield from _parsed(number, line)


def _peek(chunks: Iterator[bytes]) -> tuple[bytes, Iterator[bytes]]:
    taken: list[bytes] = []
    while sum(map(len, taken)) < _HEAD_BYTES and (chunk := next(chunks, None)) is not None:
        taken.append(chunk)
    head = b"".join(taken)
    return head[:_HEAD_BYTES], _chained(head, chunks)


def _chained(head: bytes, rest: Iterator[bytes]) -> Iterator[bytes]:
    yield head
    yield from rest


def _split(chunks: Iterable[bytes]) -> Iterator[bytes | None]:
    """Lines without their LF; None for one that is too long, whose bytes are let go as they come."""
    held = bytearray()
    too_long = False
    for chunk in chunks:
        for index, piece in enumerate(chunk.split(b"\n")):
            if index:
                yield None if too_long else bytes(held)
                held.clear()
                too_long = False
            too_long = too_long or len(held) + len(piece) > MAX_LINE_BYTES
            if too_long:
                held.clear()
            else:
                held += piece
    if held or too_long:
        yield None if too_long else bytes(held)


def _parsed(number: int, line: bytes | None) -> Iterator[Line | Problem | Notice]:
    if line is None:
        limit = MAX_LINE_BYTES // 2**20
        yield _problem(number, f"Line {number} is longer than {limit} MiB", "split the example or shorten it")
        return
    line = line.removesuffix(b"\r")
    if line.startswith(_BOM):
        if number > 1:
            yield _problem(number, f"Line {number}: unexpected BOM", "remove the byte order mark (EF BB BF)")
            return
        line = line.removeprefix(_BOM)
        yield Notice(
            line=1,
            field="$",
            message="The byte order mark at the start of the file was ignored",
            cure="save as UTF-8 without BOM",
        )
    if line.strip(b" \t"):
        yield _object(number, line)


def _object(number: int, line: bytes) -> Line | Problem:
    if b"\r" in line:
        message = f"Line {number}: expected one JSON object per line (found CR line ends)"
        return _problem(number, message, "save with LF or CRLF line ends")
    try:
        value = loads(line)
    except StrictJsonError as error:
        return _problem(
            number, _wording(number, line, error), "write one JSON object, in UTF-8, on each line"
        )
    if not isinstance(value, dict):
        return _problem(
            number, f"Line {number}: expected an object", 'write {"messages": [...]} on each line'
        )
    return Line(number, value)


def _wording(number: int, line: bytes, error: StrictJsonError) -> str:
    match error.kind:
        case "encoding":
            return f"Line {number} is not valid UTF-8; save as UTF-8"
        case "incomplete":
            return f"Line {number}: incomplete JSON object (multi-line?)"
        case "syntax" if not line.lstrip().startswith(b"{"):
            return f"Line {number} is not JSON"
        case "syntax":
            return f"Line {number}, column {error.position}: {error.message}"
        case _:
            return f"Line {number}: {error.message}"


def _problem(number: int, message: str, cure: str) -> Problem:
    return Problem(line=number, field="$", message=message, cure=cure)
