"""JSON as RFC 8259 means it: one reading of every document, or an error that never quotes the data."""

import json
import math
import re
from typing import Literal, NoReturn, TypeAlias

from afina.errors import clipped

JsonValue: TypeAlias = "dict[str, JsonValue] | list[JsonValue] | str | int | float | bool | None"
JsonObject: TypeAlias = dict[str, JsonValue]
Kind = Literal[
    "encoding",
    "nul",
    "incomplete",
    "syntax",
    "depth",
    "not_finite",
    "out_of_range",
    "surrogate",
    "duplicate_key",
]

MAX_DEPTH = 64
MAX_DIGITS = 308  # A longer integer is no finite float either.
_BRACKET_OR_STRING = re.compile(r'[\[{]|[\]}]|"(?:[^"\\]++|\\.)*+"?', re.DOTALL)
_SURROGATE_ESCAPE = re.compile(r"\\u[dD][89a-fA-F]")


class StrictJsonError(ValueError):
    """Why bytes are not accepted as JSON; `position` is a column counted from 1, where one is known."""

    def __init__(self, kind: Kind, message: str, position: int | None = None):
        super().__init__(message)
        self.kind: Kind = kind
        self.message = message
        self.position = position


def loads(data: bytes) -> JsonValue:
    """The value of one JSON document in UTF-8; raises `StrictJsonError` for any other bytes.

    Python's own reader guesses UTF-16, takes NaN and 1e999, keeps the last of two equal keys, and fails with
    RecursionError on deep input: each of these is refused here.
    """
    text = _decoded(data)
    _check_depth(text)
    try:
        value: JsonValue = json.loads(
            text,
            parse_constant=_refuse_constant,
            parse_float=_finite_float,
            parse_int=_bounded_int,
            object_pairs_hook=_unique_keys,
        )
    except json.JSONDecodeError as error:
        raise _syntax_error(text, error) from None
    if _SURROGATE_ESCAPE.search(text):
        _check_surrogates(value)
    return value


def objects(value: JsonValue) -> list[JsonObject]:
    """The objects of a JSON array; none where it is something else."""
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def _decoded(data: bytes) -> str:
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise StrictJsonError("encoding", "not valid UTF-8", error.start + 1) from None
    nul = text.find("\0")
    if nul >= 0:
        raise StrictJsonError("nul", "NUL byte", nul + 1)
    return text


def _check_depth(text: str) -> None:
    if text.count("[") + text.count("{") <= MAX_DEPTH:
        return
    depth = 0
    for match in _BRACKET_OR_STRING.finditer(text):
        token = match[0]
        depth += (token in "[{") - (token in "]}")
        if depth > MAX_DEPTH:
            raise StrictJsonError("depth", f"nesting deeper than {MAX_DEPTH}", match.start() + 1)


def _refuse_constant(_: str) -> NoReturn:
    raise StrictJsonError("not_finite", "not a finite number")


def _finite_float(digits: str) -> float:
    number = float(digits)
    if not math.isfinite(number):
        raise StrictJsonError("not_finite", "not a finite number")
    return number


def _bounded_int(digits: str) -> int:
    if len(digits) > MAX_DIGITS:
        raise StrictJsonError("out_of_range", "number out of range")
    return int(digits)


def _unique_keys(pairs: list[tuple[str, JsonValue]]) -> JsonObject:
    found = dict(pairs)
    if len(found) < len(pairs):
        seen: set[str] = set()
        key = next(key for key, _ in pairs if key in seen or seen.add(key))
        raise StrictJsonError("duplicate_key", f"duplicate key '{clipped(key)}'")
    return found


def _syntax_error(text: str, error: json.JSONDecodeError) -> StrictJsonError:
    cut_short = error.pos >= len(text.rstrip()) or error.msg.startswith("Unterminated string")
    # Some versions of Python append the offending characters behind a colon.
    reason = error.msg.split(":")[0].lower()
    return StrictJsonError("incomplete" if cut_short else "syntax", reason, error.pos + 1)


def _check_surrogates(value: JsonValue) -> None:
    """The reader joins pairs; what is still a surrogate in the value was alone."""
    try:
        json.dumps(value, ensure_ascii=False).encode("utf-8")
    except UnicodeEncodeError:
        raise StrictJsonError("surrogate", "invalid Unicode escape") from None
