"""Whether an item has the form that its eval says: the part of JSON Schema that describes data, in bounded time.

Keywords of JSON Schema that are not done are refused when an eval is made; what is no keyword is passed over.
"""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from time import monotonic
from typing import Protocol, cast

import regex
from pydantic import JsonValue

from afina.errors import InvalidRequest, clipped

JsonObject = dict[str, JsonValue]
MOST_STEPS = 100_000  # schemas that one item is compared with: references may fan out
MOST_SECONDS = 0.5  # for one item: patterns may be dear
NOT_DONE = """
if then else contains minContains maxContains patternProperties propertyNames dependentRequired dependentSchemas
dependencies unevaluatedItems unevaluatedProperties $anchor $dynamicRef $dynamicAnchor $recursiveRef
"""
TYPES: Mapping[str, Callable[[JsonValue], bool]] = {
    "object": lambda value: isinstance(value, dict),
    "array": lambda value: isinstance(value, list),
    "string": lambda value: isinstance(value, str),
    "number": lambda value: is_number(value),
    "integer": lambda value: is_number(value) and float(cast(float, value)).is_integer(),
    "boolean": lambda value: isinstance(value, bool),
    "null": lambda value: value is None,
}
# What stands behind a keyword that is done, and what it says where its value is neither too little nor too much.
SCHEMAS_BY_NAME = ("properties", "$defs", "definitions")
SCHEMAS = ("anyOf", "oneOf", "allOf", "prefixItems")
SCHEMA = ("items", "additionalProperties", "not")
LENGTHS: Mapping[type, tuple[str, str, str]] = {
    str: ("minLength", "maxLength", "characters"),
    list: ("minItems", "maxItems", "elements"),
    dict: ("minProperties", "maxProperties", "properties"),
}
BOUNDS: Mapping[str, tuple[str, Callable[[float, float], bool]]] = {
    "minimum": (">=", lambda value, bound: value >= bound),
    "maximum": ("<=", lambda value, bound: value <= bound),
    "exclusiveMinimum": (">", lambda value, bound: value > bound),
    "exclusiveMaximum": ("<", lambda value, bound: value < bound),
    "multipleOf": ("a multiple of", lambda value, bound: (value / bound).is_integer()),
}


class _Search(Protocol):
    """What is used of `regex`, which has no types: Python's own `re` cannot be told when to give up."""

    def __call__(self, pattern: str, string: str, *, timeout: float) -> object: ...


_search = cast(_Search, regex.search)  # pyright: ignore[reportUnknownMemberType]


class TooCostly(Exception):
    """A comparison that would take too long."""


def is_number(value: JsonValue) -> bool:
    """In JSON, true and false are no numbers."""
    return isinstance(value, int | float) and not isinstance(value, bool)


def refuse_unreadable(schema: JsonObject, param: str) -> None:
    """400 for a schema that cannot be compared with anything, naming the place."""
    found = list(parts(schema, param))
    known = {id(part) for part, _ in found}
    for part, where in found:
        if why := unreadable(part, schema, known):
            raise InvalidRequest(f"Invalid '{where}': {why}.", param=where, code="invalid_value")


def parts(schema: JsonValue, where: str) -> Iterator[tuple[JsonValue, str]]:
    """A schema and all schemas within it, each with its place."""
    yield schema, where
    if not isinstance(schema, dict):
        return
    for name in SCHEMAS_BY_NAME:
        named = schema.get(name)
        for key, inner in named.items() if isinstance(named, dict) else ():
            yield from parts(inner, f"{where}.{name}.{clipped(key)}")
    for name in SCHEMAS:
        several = schema.get(name)
        for place, inner in enumerate(several) if isinstance(several, list) else ():
            yield from parts(inner, f"{where}.{name}[{place}]")
    for name in SCHEMA:
        if name in schema:
            yield from parts(schema[name], f"{where}.{name}")


def unreadable(part: JsonValue, root: JsonObject, known: set[int]) -> str | None:
    """What is wrong with one schema, apart from those within it; `known` has the identities of all there are."""
    if isinstance(part, bool):
        return None
    if not isinstance(part, dict):
        return "expected a JSON Schema: an object, true or false"
    if foreign := sorted(part.keys() & NOT_DONE.split()):
        return f"'{foreign[0]}' is not supported here"
    for names, kind, what in (
        (SCHEMAS_BY_NAME, dict, "an object"),
        (SCHEMAS, list, "an array"),
        (("required", "enum"), list, "an array"),
        (("pattern", "$ref"), str, "a string"),
    ):
        if wrong := [name for name in names if name in part and not isinstance(part[name], kind)]:
            return f"expected {what} as '{wrong[0]}'"
    if not all(isinstance(name, str) for name in cast(list[JsonValue], part.get("required", []))):
        return "expected strings in 'required'"
    numbers = [*BOUNDS, *(name for low, high, _ in LENGTHS.values() for name in (low, high))]
    if wrong := [name for name in numbers if name in part and not is_number(part[name])]:
        return f"expected a number as '{wrong[0]}'"
    return unknown(part, root, known)


def unknown(part: JsonObject, root: JsonObject, known: set[int]) -> str | None:
    """A type, a pattern, a divisor or a reference that there cannot be."""
    if any(kind not in TYPES for kind in kinds(part)):
        return f"the types are {', '.join(TYPES)}"
    if part.get("multipleOf") == 0:
        return "nothing is a multiple of 0"
    try:
        regex.compile(str(part.get("pattern", "")))  # pyright: ignore[reportUnknownMemberType]
    except regex.error:
        return "'pattern' is not a regular expression"
    if "$ref" in part and id(referred(root, str(part["$ref"]))) not in known:
        return "'$ref' does not lead to a schema within this one, such as #/$defs/name"
    return None


def kinds(part: JsonObject) -> list[str]:
    """The types that a schema allows; none: all of them."""
    named = part.get("type", [])
    return [str(kind) for kind in (named if isinstance(named, list) else [named])]


def referred(root: JsonObject, reference: str) -> JsonValue:
    """The schema that a reference leads to; None where it does not."""
    begin, *steps = reference.split("/")
    found: JsonValue = root if begin == "#" else None
    for step in steps:
        name = step.replace("~1", "/").replace("~0", "~")
        found = found.get(name) if isinstance(found, dict) else None
    return found


def misfit(schema: JsonObject, item: JsonObject) -> str | None:
    """Where and why an item does not fit, in words that hold nothing of it but names; None where it does."""
    try:
        return _Comparison(schema).fault(schema, item, "item")
    except (TooCostly, TimeoutError, RecursionError):
        return "item cannot be compared with 'item_schema' in reasonable time"


class _Comparison:
    """One item against one schema: each method gives the first fault, or None."""

    def __init__(self, root: JsonObject):
        self.root = root
        self.left = MOST_STEPS
        self.until = monotonic() + MOST_SECONDS

    def fault(self, schema: JsonValue, value: JsonValue, path: str) -> str | None:
        self.left -= 1
        if self.left < 0 or monotonic() > self.until:
            raise TooCostly
        if not isinstance(schema, dict):
            return f"{path} may not be there" if schema is False else None
        for check in (self.kind, self.choice, self.extent, self.members, self.elements, self.combined):
            if why := check(schema, value, path):
                return why
        return None

    def kind(self, schema: JsonObject, value: JsonValue, path: str) -> str | None:
        allowed = kinds(schema)
        if allowed and not any(TYPES[kind](value) for kind in allowed):
            return f"{path} is not of type {' or '.join(allowed)}"
        return None

    def choice(self, schema: JsonObject, value: JsonValue, path: str) -> str | None:
        options = schema.get("enum")
        if isinstance(options, list) and written(value) not in map(written, options):
            return f"{path} is none of the values in 'enum'"
        if "const" in schema and written(value) != written(schema["const"]):
            return f"{path} is not the value of 'const'"
        return None

    def extent(self, schema: JsonObject, value: JsonValue, path: str) -> str | None:
        if is_number(value):
            for name, (words, holds) in BOUNDS.items():
                if name in schema and not holds(cast(float, value), cast(float, schema[name])):
                    return f"{path} is not {words} {schema[name]}"
        if isinstance(value, str | list | dict):
            least, most, what = LENGTHS[type(value)]
            if len(value) < cast(float, schema.get(least, 0)):
                return f"{path} has fewer than {schema[least]} {what}"
            if len(value) > cast(float, schema.get(most, len(value))):
                return f"{path} has more than {schema[most]} {what}"
        if isinstance(value, str) and "pattern" in schema:
            found = _search(str(schema["pattern"]), value, timeout=MOST_SECONDS)
            return None if found else f"{path} does not match 'pattern'"
        return None

    def members(self, schema: JsonObject, value: JsonValue, path: str) -> str | None:
        if not isinstance(value, dict):
            return None
        for name in cast(Sequence[JsonValue], schema.get("required", [])):
            if name not in value:
                return f"{path}.{clipped(str(name))} is missing"
        known = cast(JsonObject, schema.get("properties", {}))
        for name, inner in value.items():
            if name in known:
                why = self.fault(known[name], inner, f"{path}.{clipped(name)}")
            elif schema.get("additionalProperties") is False:
                why = f"{path} has a property that 'properties' does not name"
            else:
                why = self.fault(schema.get("additionalProperties", True), inner, f"{path}.*")
            if why:
                return why
        return None

    def elements(self, schema: JsonObject, value: JsonValue, path: str) -> str | None:
        if not isinstance(value, list):
            return None
        first = cast(list[JsonValue], schema.get("prefixItems", []))
        for place, inner in enumerate(value):
            part = first[place] if place < len(first) else schema.get("items", True)
            if why := self.fault(part, inner, f"{path}[{place}]"):
                return why
        if schema.get("uniqueItems") is True and len({*map(written, value)}) < len(value):
            return f"{path} has the same element twice"
        return None

    def combined(self, schema: JsonObject, value: JsonValue, path: str) -> str | None:
        referring = [referred(self.root, str(schema["$ref"]))] if "$ref" in schema else []
        for part in [*referring, *cast(list[JsonValue], schema.get("allOf", []))]:
            if why := self.fault(part, value, path):
                return why
        for name, most in (("anyOf", MOST_STEPS), ("oneOf", 1)):
            options = schema.get(name)
            if isinstance(options, list):
                fitting = sum(self.fault(option, value, path) is None for option in options)
                if not 1 <= fitting <= most:
                    return f"{path} fits {fitting} of the schemas in '{name}'"
        if "not" in schema and self.fault(schema["not"], value, path) is None:
            return f"{path} fits the schema in 'not'"
        return None


def written(value: JsonValue) -> str:
    """A value in the one way in which JSON can say it: 1.0 as 1, which is not true; properties in no order."""
    return json.dumps(plain(value), sort_keys=True)


def plain(value: JsonValue) -> JsonValue:
    """A value whose whole numbers are integers."""
    match value:
        case float() if value.is_integer():
            return int(value)
        case list():
            return [plain(each) for each in value]
        case dict():
            return {name: plain(each) for name, each in value.items()}
        case _:
            return value
