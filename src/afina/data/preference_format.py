"""The preference format: a prompt with an answer that is preferred and one that is not, in OpenAI's layout."""

from collections.abc import Iterator

from afina.data import chat_format
from afina.data.faults import Fault
from afina.data.messages import Conversation, conversation
from afina.data.strict_json import JsonObject, JsonValue, objects
from afina.errors import clipped

NAME = "preference"
OUTPUTS = ("preferred_output", "non_preferred_output")
_LAYOUT = 'write {"input": {"messages": [...]}, "preferred_output": [...], "non_preferred_output": [...]}'
_INPUT_KEYS = chat_format.EXAMPLE_KEYS - {"functions"}


def resembles(row: JsonObject) -> bool:
    """Whether the row was meant to be of this format."""
    return any(key in row for key in OUTPUTS)


def conversations(row: JsonObject) -> tuple[Conversation, Conversation, Conversation]:
    """The prompt of a checked row, and it with each answer; what the prompt's assistant said is not trained."""
    prompt = conversation(_input(row))
    given: list[JsonObject] = [
        {**message, "weight": 0} if message["role"] == "assistant" else message for message in prompt.messages
    ]
    chosen, rejected = (Conversation([*given, *objects(row[key])], prompt.tools) for key in OUTPUTS)
    return prompt, chosen, rejected


def check(row: JsonObject) -> Iterator[Fault]:
    """Everything wrong with one row; the conversations it makes are checked as those of the chat format are."""
    shape = list(_check_shape(row))
    yield from shape
    if any(not fault.warning for fault in shape):
        return
    before = len(objects(_input(row)["messages"]))
    for key in OUTPUTS:
        for fault in chat_format.check(_joined(row, key)):
            ours = fault.message is not None and fault.message > before
            if ours or key == OUTPUTS[0]:
                yield _placed(fault, key, before=before)
    if row[OUTPUTS[0]] == row[OUTPUTS[1]]:
        yield Fault(OUTPUTS[1], ": outputs are identical", "make the answers differ, or drop the example")


def _check_shape(row: JsonObject) -> Iterator[Fault]:
    for key in [key for key in row if key not in ("input", *OUTPUTS)]:
        yield Fault(clipped(key), f": unexpected key '{clipped(key)}'", _LAYOUT)
    for key in ("input", *OUTPUTS):
        if key not in row:
            yield Fault(key, f" is missing key '{key}'", _LAYOUT)
    if "input" in row:
        yield from _check_input(row["input"])
    for key in OUTPUTS:
        if key in row:
            yield from _check_output(row[key], key)


def _check_input(given: JsonValue) -> Iterator[Fault]:
    if not isinstance(given, dict):
        yield Fault("input", ": 'input' must be an object", _LAYOUT)
        return
    for key in [key for key in given if key not in _INPUT_KEYS]:
        yield Fault(
            f"input.{clipped(key)}", f": unexpected key '{clipped(key)}' in 'input'", "remove the key"
        )
    messages = given.get("messages")
    if not isinstance(messages, list) or not messages:
        text = ": 'input.messages' must be a non-empty array"
        yield Fault("input.messages", text, "list the messages that lead to the answers")
    elif isinstance(messages[-1], dict) and messages[-1].get("role") == "assistant":
        field = f"input.messages[{len(messages) - 1}].role"
        yield Fault(field, ": input must not end with an assistant message", "move it into both outputs")


def _check_output(output: JsonValue, key: str) -> Iterator[Fault]:
    if not isinstance(output, list) or not output:
        yield Fault(key, f": '{key}' must be a non-empty array", "list the messages of the answer")
        return
    for place, message in enumerate(output):
        if isinstance(message, dict) and message.get("role", "assistant") not in ("assistant", "tool"):
            text = f": '{key}' must contain assistant and tool messages only"
            yield Fault(f"{key}[{place}].role", text, "move other messages into the input")
    last = output[-1]
    if isinstance(last, dict) and last.get("role") == "tool":
        text = f": '{key}' must end with an assistant message"
        yield Fault(f"{key}[{len(output) - 1}].role", text, "end the output with what the assistant says")


def _input(row: JsonObject) -> JsonObject:
    given = row["input"]
    assert isinstance(given, dict)
    return given


def _joined(row: JsonObject, key: str) -> JsonObject:
    """The conversation that one answer makes."""
    given, output = _input(row), row[key]
    messages = given["messages"]
    assert isinstance(messages, list) and isinstance(output, list)
    return {**given, "messages": [*messages, *output]}


def _placed(fault: Fault, key: str, *, before: int) -> Fault:
    """A fault of the joined conversation, where it stands in the row."""
    if fault.message is None or fault.message <= before:
        return fault._replace(field=f"input.{fault.field}")
    place, joined = fault.message - 1 - before, f"messages[{fault.message - 1}]"
    inside = fault.field.startswith(joined)
    field = fault.field.replace(joined, f"{key}[{place}]", 1) if inside else f"input.{fault.field}"
    return fault._replace(field=field, text=f", {key} message {place + 1}{fault.text}", message=None)
