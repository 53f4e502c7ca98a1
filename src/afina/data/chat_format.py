"""The chat format of supervised fine-tuning: what one row may hold, in OpenAI's wording where it is known."""

from collections.abc import Iterator

from afina.data import tools_format
from afina.data.faults import Fault
from afina.data.strict_json import JsonObject, JsonValue
from afina.errors import clipped

NAME = "chat"
ROLES = ("system", "developer", "user", "assistant", "tool", "function")
EXAMPLE_KEYS = frozenset({"messages", "tools", "parallel_tool_calls", "functions"})
_ANY_ROLE = ("role", "content", "name")
_ASSISTANT_ONLY = ("weight", "tool_calls", "function_call", "refusal")
_CHAT_KEYS = "an example has messages and, where tools are used, tools and parallel_tool_calls"


def resembles(row: JsonObject) -> bool:
    """Whether the row was meant to be of this format."""
    return "messages" in row


def check(row: JsonObject) -> Iterator[Fault]:
    """Everything wrong with one row; turns of a conversation are compared only when each message is sound."""
    messages = row.get("messages")
    if "messages" not in row:
        yield Fault("messages", " is missing key 'messages'", 'write {"messages": [...]}')
        return
    if not isinstance(messages, list) or not messages:
        yield Fault(
            "messages", ": 'messages' must be a non-empty array", "list the messages of one conversation"
        )
        return
    faults = [
        fault for number, message in enumerate(messages, 1) for fault in _check_message(message, number)
    ]
    yield from faults
    yield from _check_example(row)
    if not faults:
        sound = [message for message in messages if isinstance(message, dict)]
        yield from _check_turns(sound)
        yield from tools_format.check_use(row, sound)


def _check_example(row: JsonObject) -> Iterator[Fault]:
    for key in [key for key in row if key not in EXAMPLE_KEYS]:
        yield Fault(clipped(key), f": unexpected key '{clipped(key)}'", _CHAT_KEYS)
    if not isinstance(row.get("parallel_tool_calls", False), bool):
        yield Fault("parallel_tool_calls", ": 'parallel_tool_calls' must be a boolean", "write true or false")
    yield from tools_format.check_declared(row)


def _check_message(message: JsonValue, number: int) -> Iterator[Fault]:
    here = f"messages[{number - 1}]"
    if not isinstance(message, dict):
        yield Fault(here, ": expected an object", "write an object with role and content", number)
        return
    if "role" not in message:
        text = " Discriminator 'role' is missing in value"
        yield Fault(f"{here}.role", text, "name the message's role", number)
        return
    role = message["role"]
    if not isinstance(role, str) or role not in ROLES:
        text = ": role must be one of system, developer, user, assistant, tool (function)"
        yield Fault(f"{here}.role", text, "write the role in lower case letters", number)
        return
    yield from _check_keys(message, role, number)
    yield from _check_content(message, role, number)
    yield from tools_format.check_message(message, role, number)


def _check_keys(message: JsonObject, role: str, number: int) -> Iterator[Fault]:
    here = f"messages[{number - 1}]"
    known = (*_ANY_ROLE, *_ASSISTANT_ONLY, *(("tool_call_id",) if role == "tool" else ()))
    for key in [key for key in message if key not in known]:
        yield Fault(f"{here}.{clipped(key)}", f": unexpected key '{clipped(key)}'", "remove the key", number)
    if not isinstance(message.get("name", ""), str):
        yield Fault(f"{here}.name", ": 'name' must be a string", "write a name or leave it out", number)
    if role != "assistant":
        for key in _ASSISTANT_ONLY:
            if key in message:
                text = f": '{key}' is only allowed on assistant messages"
                yield Fault(f"{here}.{key}", text, f"remove {key}", number)
        return
    weight = message.get("weight", 1)
    if isinstance(weight, bool) or not isinstance(weight, int) or weight not in (0, 1):
        yield Fault(
            f"{here}.weight", ": 'weight' must be 0 or 1", "0 leaves the message out of training", number
        )
    if not isinstance(message.get("refusal"), str | None):
        yield Fault(f"{here}.refusal", ": 'refusal' must be a string", "write the refusal as text", number)


def _check_content(message: JsonObject, role: str, number: int) -> Iterator[Fault]:
    field = f"messages[{number - 1}].content"
    content = message.get("content")
    if role == "assistant" and content is None:
        if not any(message.get(key) for key in ("tool_calls", "function_call", "refusal")):
            yield Fault(field, " needs 'content' or 'tool_calls'", "write what the assistant says", number)
    elif "content" not in message:
        yield Fault(field, " needs 'content'", "write the message's text", number)
    elif isinstance(content, list) and content:
        for place, part in enumerate(content):
            yield from _check_part(part, f"{field}[{place}]", number)
    elif not isinstance(content, str) and not (content is None and role == "function"):
        text = ": 'content' must be a string or array of parts"
        yield Fault(field, text, "write the text as a string", number)


def _check_part(part: JsonValue, field: str, number: int) -> Iterator[Fault]:
    kind = part.get("type") if isinstance(part, dict) else None
    if not isinstance(part, dict) or kind not in ("text", "image_url"):
        yield Fault(
            f"{field}.type", ": type must be text or image_url", 'write {"type": "text", ...}', number
        )
    elif kind == "image_url":
        yield Fault(
            field, ": base model does not accept images", "remove the image or take a vision model", number
        )
    elif not isinstance(part.get("text"), str):
        yield Fault(f"{field}.text", ": 'text' must be a string", "write the part's text", number)


def _check_turns(messages: list[JsonObject]) -> Iterator[Fault]:
    spoken = [message for message in messages if message["role"] == "assistant"]
    if not spoken:
        text = " must contain at least one assistant message"
        yield Fault("messages", text, "add the answer that the model shall learn")
    elif messages[-1]["role"] != "assistant":
        text = ": last message must be from the assistant"
        yield Fault(f"messages[{len(messages) - 1}].role", text, "end the example with the answer")
    elif all(message.get("weight", 1) == 0 for message in spoken):
        yield Fault(
            "messages", ": no assistant message with weight 1", "give one assistant message the weight 1"
        )
