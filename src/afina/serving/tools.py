"""Tool calls in a model's text, whole or as it streams: `<tool_call>{"name": ..., "arguments": ...}</tool_call>`."""

import json
import re
from typing import NoReturn

from pydantic import JsonValue

from afina import ids
from afina.schemas.chat_replies import CalledFunction, ToolCall

OPEN, CLOSE = "<tool_call>", "</tool_call>"
# A call that lacks its end, and maybe its arguments or a part of them.
BEGUN = re.compile(
    rf'\s*{OPEN}\s*\{{\s*"name":\s*"(?P<name>[a-zA-Z0-9_-]{{1,64}})"[^{{]*(?P<arguments>.*)', re.DOTALL
)


class CallReader:
    """Feed text, get what may be shown; calls that are complete gather in `calls`.

    What begins like a call but is none comes out as text. White space beside a call belongs to the template.
    """

    def __init__(self) -> None:
        self.held = ""
        self.calls: list[ToolCall] = []

    def feed(self, text: str) -> str:
        """The text that is certain now not to belong to a call."""
        self.held += text
        shown = ""
        while (end := self.held.find(CLOSE)) >= 0:
            piece, self.held = self.held[: end + len(CLOSE)], self.held[end + len(CLOSE) :]
            shown += self.take(piece)
        return shown + self.release()

    def flush(self, *, cut_short: bool = False) -> str:
        """What was held back, now that nothing follows; a call that was cut short has the arguments that there are."""
        shown, self.held = self.held, ""
        if cut_short and (begun := BEGUN.fullmatch(shown)):
            function = CalledFunction(name=begun["name"], arguments=so_far(begun["arguments"]))
            self.calls.append(ToolCall(id=ids.prefixed("call_"), function=function))
            return ""
        return "" if self.calls and not shown.strip() else shown

    def take(self, piece: str) -> str:
        """A piece that ends a call: the text before it, and the call into `calls`."""
        before, opened, inside = piece.removesuffix(CLOSE).rpartition(OPEN)
        call = read_call(inside) if opened else None
        if call is None:
            return piece
        text = "" if self.calls and not before.strip() else before.rstrip()
        self.calls.append(call)
        return text

    def release(self) -> str:
        """Everything but the beginning of a call and the white space that may belong to one."""
        start = self.held.find(OPEN)
        if start < 0:
            start = len(self.held) - begun(self.held)
        start = len(self.held[:start].rstrip())
        shown, self.held = self.held[:start], self.held[start:]
        return shown


def begun(text: str) -> int:
    """How many characters at the end of `text` may be the beginning of a call."""
    return next((size for size in range(len(OPEN) - 1, 0, -1) if text.endswith(OPEN[:size])), 0)


def read_call(text: str) -> ToolCall | None:
    """The call that the text between the markers describes; None where it describes none.

    A key that comes twice counts where it comes last: schemas cannot keep a model from repeating itself.
    """
    try:
        found: JsonValue = json.loads(text, parse_constant=refuse)
    except (ValueError, RecursionError):
        return None
    match found:
        case {"name": str(name), "arguments": str(arguments)}:
            written = arguments
        case {"name": str(name), "arguments": arguments}:
            written = json.dumps(arguments, ensure_ascii=False)
        case {"name": str(name)}:
            written = "{}"
        case _:
            return None
    return ToolCall(id=ids.prefixed("call_"), function=CalledFunction(name=name, arguments=written))


def so_far(text: str) -> str:
    """The arguments at the beginning of a text, whole or cut short."""
    try:
        _, end = json.JSONDecoder().raw_decode(text)
    except (ValueError, RecursionError):
        return text
    return text[:end]


def refuse(constant: str) -> NoReturn:
    """`NaN` and its like are no JSON."""
    raise ValueError(constant)
