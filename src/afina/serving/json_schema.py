"""What is wrong with a JSON Schema that a reply shall be held to, in OpenAI's words where it has some."""

import json
import re
from collections.abc import Iterator
from functools import lru_cache

from pydantic import JsonValue

from afina.engine import grammar
from afina.errors import clipped
from afina.schemas.chat import JsonObject
from afina.schemas.structure import JsonForm

Context = tuple[str, ...]

MAPS = ("properties", "$defs", "definitions", "patternProperties", "dependentSchemas")
LISTS = ("anyOf", "allOf", "oneOf", "prefixItems")
SINGLE = ("items", "additionalProperties", "not", "if", "then", "else", "contains", "propertyNames")
LONGEST = 65_536
COSTLY = ("parser error", "lexer error", "schema too large", "grammar size", "panic")
ENDLESS = "NoExtensionBias"  # the compiler's word
REGEX = re.compile(r"^regex parse error|\bin regex /")
KEYWORDS = re.compile(r"Unimplemented keys: \[(.*)\]")


def fault(schema: JsonObject, *, strict: bool) -> str | None:
    """Why a reply cannot be held to a schema, or None; a strict one also has to be closed and complete."""
    if strict and (why := loose(schema)):
        return why
    text = json.dumps(schema)
    if len(text) > LONGEST:
        return f"it has more than {LONGEST} characters; shorten it."
    why = compiler_fault(text, strict)
    return None if why is None else wording(why, schema)


@lru_cache(maxsize=64)
def compiler_fault(text: str, strict: bool) -> str | None:
    """What the compiler finds; many requests come with the same schema."""
    return grammar.fault(JsonForm(json_schema=json.loads(text)), lenient=not strict)


def loose(schema: JsonObject) -> str | None:
    """What OpenAI's strict schemas may not leave open."""
    if schema.get("type") != "object" and "$ref" not in schema:
        kind = clipped(json.dumps(schema.get("type")))
        return f"schema must be a JSON Schema of 'type: \"object\"', got 'type: {kind}'."
    for context, part in parts(schema):
        properties = part.get("properties")
        if part.get("type") != "object" and not isinstance(properties, dict):
            continue
        if part.get("additionalProperties") is not False:
            return f"In context={shown(context)}, 'additionalProperties' is required to be supplied and to be false."
        required = part.get("required")
        known = required if isinstance(required, list) else []
        for name in properties if isinstance(properties, dict) else ():
            if name not in known:
                return (
                    f"In context={shown(context)}, 'required' is required to be supplied and to be an array "
                    f"including every key in properties. Missing '{clipped(name)}'."
                )
    return None


def wording(why: str, schema: JsonObject) -> str:
    """The compiler's complaint; keywords that it cannot hold are named with their place."""
    if found := KEYWORDS.search(why):
        names = json.loads(f"[{found[1]}]")
        for context, part in parts(schema):
            for name in names:
                if name in part:
                    return f"In context={shown(context)}, '{clipped(name)}' is not permitted."
    if why.startswith(ENDLESS):
        return "it refers to itself without ever coming to an end."
    if REGEX.search(why):
        return "a 'pattern' is not a regular expression that can be held; look-around and references are not permitted."
    if why.lower().startswith(COSTLY):
        return "it is too complex to be held; simplify it."
    return f"{clipped(why.splitlines()[0])}."


def parts(schema: JsonValue, context: Context = ()) -> Iterator[tuple[Context, JsonObject]]:
    """A schema and all schemas within it, each with the keys that lead to it."""
    if not isinstance(schema, dict):
        return
    yield context, schema
    for key, value in schema.items():
        if key in SINGLE:
            yield from parts(value, (*context, key))
        elif key in MAPS and isinstance(value, dict):
            for name, part in value.items():
                yield from parts(part, (*context, key, name))
        elif key in LISTS and isinstance(value, list):
            for place, part in enumerate(value):
                yield from parts(part, (*context, key, str(place)))


def shown(context: Context) -> str:
    """A place as OpenAI writes it."""
    return str(tuple(map(clipped, context)))
