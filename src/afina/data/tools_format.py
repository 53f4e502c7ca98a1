"""Tools in the chat format: their declaration, their calls and the answers; knows no templates."""

import re
from collections.abc import Iterator

from afina.data.faults import Fault
from afina.data.strict_json import JsonObject, JsonValue, StrictJsonError, loads, objects
from afina.errors import clipped

MAX_TOOLS = 128
_NAME = re.compile(r"[a-zA-Z0-9_-]{1,64}")
_NAME_RULE = "must be 1 to 64 letters, digits, underscores or hyphens"
_TYPES: dict[str, type | tuple[type, ...]] = {
    "string": str,
    "integer": int,
    "number": (int, float),
    "boolean": bool,
    "array": list,
    "object": dict,
    "null": type(None),
}


def check_declared(row: JsonObject) -> Iterator[Fault]:
    """Faults of the example's `tools`, or of the deprecated `functions`."""
    for key in ("tools", "functions"):
        declared = row.get(key, [])
        if not isinstance(declared, list):
            yield Fault(key, f": '{key}' must be an array", f"list the {key} or leave them out")
        elif len(declared) > MAX_TOOLS:
            yield Fault(key, f": '{key}' has more than {MAX_TOOLS} entries", f"declare at most {MAX_TOOLS}")
        else:
            for place, entry in enumerate(declared):
                yield from _check_entry(entry, f"{key}[{place}]", is_tool=key == "tools")


def _check_entry(entry: JsonValue, field: str, *, is_tool: bool) -> Iterator[Fault]:
    function = entry
    if is_tool:
        if not isinstance(entry, dict) or entry.get("type") != "function":
            yield Fault(
                f"{field}.type", f": {field}.type must be 'function'", 'write {"type": "function", ...}'
            )
            return
        function, field = entry.get("function"), f"{field}.function"
    if not isinstance(function, dict):
        yield Fault(field, f": {field} must be an object", "give name, description and parameters")
        return
    name, parameters = function.get("name"), function.get("parameters", {})
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        yield Fault(f"{field}.name", f": {field}.name {_NAME_RULE}", "rename the function")
    if not _is_schema(parameters):
        text = f": {field}.parameters must be a JSON Schema object"
        yield Fault(f"{field}.parameters", text, 'write {"type": "object", "properties": {...}}')
    if not isinstance(function.get("description", ""), str):
        yield Fault(f"{field}.description", f": {field}.description must be a string", "describe it in words")


def _is_schema(parameters: JsonValue) -> bool:
    return (
        isinstance(parameters, dict)
        and parameters.get("type", "object") == "object"
        and isinstance(parameters.get("properties", {}), dict)
        and isinstance(parameters.get("required", []), list)
    )


def check_message(message: JsonObject, role: str, number: int) -> Iterator[Fault]:
    """Faults of calls and answers that one message shows by itself."""
    here = f"messages[{number - 1}]"
    if role == "tool" and not isinstance(message.get("tool_call_id"), str):
        text = ": a tool message needs 'tool_call_id'"
        yield Fault(f"{here}.tool_call_id", text, "copy the id of the call that it answers", number)
    if role == "function" and not isinstance(message.get("name"), str):
        yield Fault(
            f"{here}.name", ": a function message needs 'name'", "name the function that answers", number
        )
    if role != "assistant":
        return
    calls, call = message.get("tool_calls"), message.get("function_call")
    if calls is not None and call is not None:
        text = ": 'function_call' cannot be mixed with 'tool_calls'"
        yield Fault(f"{here}.function_call", text, "keep tool_calls", number)
    if calls is not None and (not isinstance(calls, list) or not calls):
        yield Fault(f"{here}.tool_calls", ": 'tool_calls' must be a non-empty array", "leave it out", number)
    for place, entry in enumerate(calls if isinstance(calls, list) else []):
        yield from _check_tool_call(entry, f"{here}.tool_calls[{place}]", number)
    if call is not None:
        yield from _check_call(call, f"{here}.function_call", number)


def _check_tool_call(entry: JsonValue, field: str, number: int) -> Iterator[Fault]:
    if not isinstance(entry, dict) or entry.get("type") != "function":
        yield Fault(
            f"{field}.type", ": tool call type must be 'function'", 'write {"type": "function"}', number
        )
        return
    if not isinstance(entry.get("id"), str) or not entry["id"]:
        yield Fault(f"{field}.id", ": a tool call needs 'id'", "give the call an id of its own", number)
    for key in [key for key in entry if key not in ("id", "type", "function")]:
        text = f": unexpected key '{clipped(key)}'"
        yield Fault(f"{field}.{clipped(key)}", text, "a tool call has id, type and function", number)
    yield from _check_call(entry.get("function"), f"{field}.function", number)


def _check_call(call: JsonValue, field: str, number: int) -> Iterator[Fault]:
    if not isinstance(call, dict) or not isinstance(call.get("name"), str):
        yield Fault(
            f"{field}.name", ": a call needs the function's 'name'", "name a declared function", number
        )
        return
    for key in [key for key in call if key not in ("name", "arguments")]:
        text = f": unexpected key '{clipped(key)}'"
        yield Fault(f"{field}.{clipped(key)}", text, "a call has name and arguments", number)
    if not isinstance(arguments_of(call), dict):
        text = ": arguments must be a JSON-encoded string"
        yield Fault(f"{field}.arguments", text, 'write the object as a string, such as "{}"', number)


def arguments_of(call: JsonObject) -> JsonValue:
    """The arguments of a call, None where they are not the JSON of something."""
    text = call.get("arguments")
    if not isinstance(text, str):
        return None
    try:
        return loads(text.encode())
    except StrictJsonError:
        return None


def check_use(row: JsonObject, messages: list[JsonObject]) -> Iterator[Fault]:
    """Faults between messages: undeclared tools, mixed styles, calls without an answer."""
    declared = _declared(row)
    styles = {key for message in messages for key in ("tool_calls", "function_call") if message.get(key)}
    if len(styles) > 1:
        text = ": 'function_call' cannot be mixed with 'tool_calls'"
        yield Fault("messages", text, "use tool_calls throughout")
    asked_at, unanswered, known_ids = 0, set[str](), set[str]()
    for number, message in enumerate(messages, 1):
        for field, call in _calls(message, number):
            yield from _check_against(declared, call, field, number)
        if message["role"] == "assistant":
            if unanswered:
                text = ": a tool call is not answered before the next assistant message"
                yield Fault(f"messages[{asked_at - 1}].tool_calls", text, "add the tool message", asked_at)
            asked_at, unanswered = number, set(_ids(message))
            known_ids |= unanswered
        elif message["role"] == "tool":
            answered = str(message["tool_call_id"])
            if answered not in known_ids:
                text = ": 'tool_call_id' is not that of an earlier tool call"
                yield Fault(f"messages[{number - 1}].tool_call_id", text, "copy the id of the call", number)
            unanswered.discard(answered)


def _declared(row: JsonObject) -> dict[str, JsonObject]:
    """The parameters of each function that the example declares, by its name."""
    in_tools = objects([tool.get("function") for tool in objects(row.get("tools"))])
    found: dict[str, JsonObject] = {}
    for entry in (*objects(row.get("functions")), *in_tools):
        parameters = entry.get("parameters")
        found[str(entry.get("name"))] = parameters if isinstance(parameters, dict) else {}
    return found


def _calls(message: JsonObject, number: int) -> Iterator[tuple[str, JsonObject]]:
    """The calls of a message whose own faults have been looked for, each with its JSON path."""
    call = message.get("function_call")
    for place, entry in enumerate(objects(message.get("tool_calls"))):
        function = entry.get("function")
        if isinstance(function, dict):
            yield f"messages[{number - 1}].tool_calls[{place}]", function
    if isinstance(call, dict):
        yield f"messages[{number - 1}].function_call", call


def _ids(message: JsonObject) -> list[str]:
    return [str(call.get("id")) for call in objects(message.get("tool_calls"))]


def _check_against(
    declared: dict[str, JsonObject], call: JsonObject, field: str, number: int
) -> Iterator[Fault]:
    name = str(call["name"])
    if not declared:
        key = "functions" if field.endswith("function_call") else "tools"
        text = f": '{'function_call' if key == 'functions' else 'tool_calls'}' needs '{key}' in the example"
        yield Fault(key, text, f"declare the called function under {key}", number)
    elif name not in declared:
        text = f": tool '{clipped(name)}' is not declared"
        yield Fault(field, text, "declare it or correct its name", number)
    else:
        arguments = arguments_of(call)
        mismatch = _mismatch(arguments, declared[name]) if isinstance(arguments, dict) else None
        if mismatch is not None:
            text = f": arguments of tool '{clipped(name)}' {mismatch}"
            yield Fault(f"{field}.arguments", text, "follow the tool's parameters", number, warning=True)


def _mismatch(arguments: JsonObject, schema: JsonObject) -> str | None:
    """The first thing in which arguments differ from their schema, looking at the top level only."""
    properties, required = schema.get("properties"), schema.get("required")
    properties = properties if isinstance(properties, dict) else {}
    for key in required if isinstance(required, list) else []:
        if key not in arguments:
            return f"lack '{clipped(str(key))}'"
    for key, value in arguments.items():
        wanted = properties.get(key)
        if wanted is None and (schema.get("additionalProperties") is False):
            return f"have an undeclared '{clipped(key)}'"
        if isinstance(wanted, dict) and not _fits(value, wanted):
            return f"do not fit the schema of '{clipped(key)}'"
    return None


def _fits(value: JsonValue, schema: JsonObject) -> bool:
    names = schema.get("type")
    wanted = [_TYPES.get(str(name), object) for name in (names if isinstance(names, list) else [names])]
    options = schema.get("enum")
    if isinstance(options, list) and value not in options:
        return False
    if isinstance(value, bool):
        return bool in wanted or object in wanted
    return any(isinstance(value, kind) for kind in wanted)
