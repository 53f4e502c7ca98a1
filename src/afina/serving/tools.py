"""Tool calls in a model's text, whole or as it streams: `<tool_call>{"name": ..., "arguments": ...}</tool_call>`."""

import json

from afina import ids
from afina.data.strict_json import StrictJsonError, loads
from afina.schemas.chat_replies import CalledFunction, ToolCall

OPEN, CLOSE = "<tool_call>", "</tool_call>"


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

    def flush(self) -> str:
        """What was held back, now that nothing follows."""
        shown, self.held = self.held, ""
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
    """The call that the text between the markers describes; None where it describes none."""
    try:
        found = loads(text.strip().encode("utf-8", "replace"))
    except StrictJsonError:
        return None
    if not isinstance(found, dict) or not isinstance(name := found.get("name"), str):
        return None
    arguments = found.get("arguments", {})
    written = arguments if isinstance(arguments, str) else json.dumps(arguments, ensure_ascii=False)
    return ToolCall(id=ids.prefixed("call_"), function=CalledFunction(name=name, arguments=written))
