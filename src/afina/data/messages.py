"""OpenAI's messages as chat templates expect them: one spelling for what the format leaves open."""

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from afina.data.strict_json import JsonObject, JsonValue, StrictJsonError, loads, objects
from afina.data.templates import ChatTemplate, Unsupported

_ASKS_FOR_NONE = re.compile(r"content['\"]?\]?\s+is\s+(not\s+)?none")
_ASKS_FOR_NINE = re.compile(r"\|\s*length\s*!=\s*9\b")
_SHORT_ID = 9
_KEPT = ("role", "content", "name", "tool_calls", "tool_call_id", "reasoning_content")


@dataclass(frozen=True)
class Conversation:
    """Messages in OpenAI's format and the tools that the assistant may call."""

    messages: Sequence[JsonObject]
    tools: Sequence[JsonObject] | None = None


def conversation(row: JsonObject) -> Conversation:
    """The conversation of a checked row; the deprecated `functions` become tools."""
    tools = objects(row.get("tools"))
    functions = objects(row.get("functions"))
    declared: list[JsonObject] = [*tools, *({"type": "function", "function": f} for f in functions)]
    return Conversation(objects(row.get("messages")), declared or None)


@dataclass(frozen=True)
class Dialect:
    """What a template wants where families differ, found once by asking it about a small conversation."""

    developer: bool  # It knows this role; otherwise it is given `system`.
    none_content: bool  # Beside tool calls it is given none as content; otherwise an empty string.
    text_arguments: bool  # It joins the arguments of a call as text; otherwise it is given an object.
    short_ids: bool  # It takes ids of tool calls of nine characters only, as the Mistral family does.
    declares_tools: bool
    renders_calls: bool

    @classmethod
    def of(cls, template: ChatTemplate) -> "Dialect":
        """Tools that the template drops in silence must be refused, so it is asked to show them."""
        as_object, as_text = _shows(template, _call({"ear": 1})), _shows(template, _call('{"ear": 1}'))
        return cls(
            developer="developer" in template.source,
            none_content=_ASKS_FOR_NONE.search(template.source) is not None,
            text_arguments=as_text and not as_object,
            short_ids=_ASKS_FOR_NINE.search(template.source) is not None,
            declares_tools=_shows(template, [_QUESTION], [_TOOL]),
            renders_calls=as_object or as_text,
        )


_QUESTION: JsonObject = {"role": "user", "content": "?"}
_TOOL: JsonObject = {
    "type": "function",
    "function": {"name": "okapi", "description": "", "parameters": {"type": "object", "properties": {}}},
}


def _call(arguments: JsonValue) -> list[JsonObject]:
    function: JsonObject = {"name": "okapi", "arguments": arguments}
    call: JsonObject = {"id": "abcdefghi", "type": "function", "function": function}
    return [_QUESTION, {"role": "assistant", "content": "", "tool_calls": [call]}]


def _shows(template: ChatTemplate, messages: list[JsonObject], tools: list[JsonObject] | None = None) -> bool:
    """Whether the tool's name appears in what the template makes of it."""
    try:
        return "okapi" in template.render(messages, tools, prompt=False)
    except Unsupported:
        return False


def spoken(messages: Sequence[JsonObject], dialect: Dialect) -> list[JsonObject]:
    """The messages in the template's dialect; loss weights are left out, a template has no use for them."""
    plain = _with_tool_calls(messages)
    return [_message(message, dialect) for message in plain]


def _with_tool_calls(messages: Sequence[JsonObject]) -> list[JsonObject]:
    """`function_call` and the role `function` in today's words; an answer belongs to the last call."""
    renewed: list[JsonObject] = []
    last_id = "call_0"
    for number, message in enumerate(messages):
        call = message.get("function_call")
        if isinstance(call, dict):
            last_id = f"call_{number}"
            tool_call: JsonObject = {"id": last_id, "type": "function", "function": call}
            calls: JsonValue = [tool_call]
            message = {**message, "tool_calls": calls}
        elif message.get("role") == "function":
            message = {**message, "role": "tool", "tool_call_id": last_id}
        renewed.append(message)
    return renewed


def _message(message: JsonObject, dialect: Dialect) -> JsonObject:
    calls = objects(message.get("tool_calls"))
    kept: JsonObject = {key: message[key] for key in _KEPT if message.get(key) is not None}
    if kept.get("role") == "developer" and not dialect.developer:
        kept["role"] = "system"
    text = _text(message.get("content"))
    if text is None:
        text = _text(message.get("refusal"))
    kept["content"] = text if text is not None or (calls and dialect.none_content) else ""
    if "tool_call_id" in kept:
        kept["tool_call_id"] = _call_id(kept["tool_call_id"], dialect)
    kept.pop("tool_calls", None)
    if calls:
        kept["tool_calls"] = [_tool_call(call, dialect) for call in calls]
    return kept


def _text(content: JsonValue) -> str | None:
    """Parts are joined without a separator, as templates of text models do it themselves."""
    if isinstance(content, list):
        return "".join(str(part.get("text") or part.get("refusal") or "") for part in objects(content))
    return content if isinstance(content, str) else None


def _tool_call(call: JsonObject, dialect: Dialect) -> JsonObject:
    function = call.get("function")
    function = function if isinstance(function, Mapping) else {}
    spoken_function: JsonObject = {
        "name": function.get("name"),
        "arguments": _arguments(function.get("arguments"), dialect),
    }
    return {"id": _call_id(call.get("id"), dialect), "type": "function", "function": spoken_function}


def _arguments(arguments: JsonValue, dialect: Dialect) -> JsonValue:
    """JSON text on the wire; most templates write the object out themselves."""
    if dialect.text_arguments or not isinstance(arguments, str):
        return arguments
    try:
        parsed = loads(arguments.encode())
    except StrictJsonError:
        return arguments
    return parsed if isinstance(parsed, dict) else arguments


def _call_id(identifier: JsonValue, dialect: Dialect) -> JsonValue:
    """Long ids become nine digits of their hash; what has nine already, such as our own, stays itself."""
    text = str(identifier)
    if not dialect.short_ids or (len(text) == _SHORT_ID and text.isalnum()):
        return identifier
    return hashlib.sha256(text.encode()).hexdigest()[:_SHORT_ID]
