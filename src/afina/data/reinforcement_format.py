"""The reinforcement format: a conversation that waits for its answer, and whatever the grader needs to know."""

import json
from collections.abc import Iterator

from afina.data import chat_format
from afina.data.faults import Fault
from afina.data.messages import Conversation, conversation
from afina.data.strict_json import JsonObject, JsonValue
from afina.errors import clipped

NAME = "reinforcement"
PROMPT_KEYS = frozenset({"messages", "tools", "parallel_tool_calls"})
MOST_DEPTH = 16
MOST_CHARACTERS = 256 * 1024
_ANSWER: JsonObject = {"role": "assistant", "content": "."}  # stands where the model will answer


def resembles(row: JsonObject) -> bool:
    """Whether the row may be meant to be of this format: a conversation may be, too."""
    return "messages" in row


def awaits_answer(row: JsonObject) -> bool:
    """Whether the row is a conversation that ends with the user."""
    messages = row.get("messages")
    last = messages[-1] if isinstance(messages, list) and messages else None
    return isinstance(last, dict) and last.get("role") == "user"


def is_graded(row: JsonObject) -> bool:
    """Whether the row can be of no other format: it awaits its answer, and holds something to grade that by."""
    return awaits_answer(row) and not row.keys() <= chat_format.EXAMPLE_KEYS


def item(row: JsonObject) -> JsonObject:
    """What the grader sees as `item`: every key but those of the prompt."""
    return {key: value for key, value in row.items() if key not in PROMPT_KEYS}


def prompt(row: JsonObject) -> Conversation:
    """What a checked row asks, and the tools that may be used."""
    return conversation({key: value for key, value in row.items() if key in PROMPT_KEYS})


def check(row: JsonObject) -> Iterator[Fault]:
    """Everything wrong with one row; its messages are checked as those of the chat format are."""
    messages = row.get("messages")
    if isinstance(messages, list) and messages and not awaits_answer(row):
        last = messages[-1]
        if isinstance(last, dict) and last.get("role") in chat_format.ROLES:
            text = ": last message must be from user"
            yield Fault(
                f"messages[{len(messages) - 1}].role", text, "end the example with what the user asks"
            )
            return
    yield from _check_prompt(row)
    for key, value in item(row).items():
        yield from _check_value(key, value)
    shadow = row.get("item")
    if isinstance(shadow, dict) and "messages" in shadow:
        text = ": key 'messages' is shadowed by 'item'"
        yield Fault("item", text, "write the keys of 'item' beside 'messages'")


def _check_prompt(row: JsonObject) -> Iterator[Fault]:
    """The faults of the conversation, as if it had been answered."""
    prompt: JsonObject = {key: value for key, value in row.items() if key in PROMPT_KEYS}
    messages = row.get("messages")
    if isinstance(messages, list) and messages:
        prompt["messages"] = [*_unweighed(messages), _ANSWER]
    yield from chat_format.check(prompt)


def _unweighed(messages: list[JsonValue]) -> list[JsonValue]:
    """Earlier turns of the assistant are not trained, whatever they say of their weight."""
    return [
        {key: value for key, value in message.items() if key != "weight"}
        if isinstance(message, dict) and message.get("role") == "assistant"
        else message
        for message in messages
    ]


def _check_value(key: str, value: JsonValue) -> Iterator[Fault]:
    """What a grader is given of an item has to be small: it goes into each of many sandboxes and prompts."""
    name = clipped(key)
    if _depth(value) > MOST_DEPTH:
        yield Fault(name, f": '{name}' is nested deeper than {MOST_DEPTH}", "make the value flatter")
    elif len(json.dumps(value, ensure_ascii=False)) > MOST_CHARACTERS:
        text = f": '{name}' has more than {MOST_CHARACTERS} characters"
        yield Fault(name, text, "keep only what the grader needs")


def _depth(value: JsonValue) -> int:
    match value:
        case dict():
            return 1 + max(map(_depth, value.values()), default=0)
        case list():
            return 1 + max(map(_depth, value), default=0)
        case _:
            return 0
