"""Schemas that replies shall be held to: what is wrong with them, in OpenAI's words."""

import pytest

from afina.serving.json_schema import fault


def closed(**properties: object) -> dict:
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }


GOOD = closed(
    a={"type": "string", "pattern": "^[a-z]+$", "description": "d"},
    b={"anyOf": [{"$ref": "#/$defs/node"}, {"type": "null"}]},
    c={"type": "array", "items": closed(x={"type": ["number", "null"]}), "maxItems": 3},
) | {"$defs": {"node": closed(next={"anyOf": [{"$ref": "#/$defs/node"}, {"type": "null"}]})}, "title": "t"}


def test_good_schemas():
    assert fault(GOOD, strict=True) is None
    assert fault({"$ref": "#/$defs/n", "$defs": {"n": closed(a={"type": "null"})}}, strict=True) is None
    for loose in ({}, {"type": "array"}, {"type": "object", "properties": {"a": {"not": {"type": "null"}}}}):
        assert fault(loose, strict=False) is None


@pytest.mark.parametrize(
    ("schema", "words"),
    [
        (
            {"type": "array", "items": {}},
            "schema must be a JSON Schema of 'type: \"object\"', got 'type: \"array\"'.",
        ),
        ({"anyOf": [closed()]}, "got 'type: null'."),
        (
            {**closed(), "additionalProperties": True},
            "In context=(), 'additionalProperties' is required to be supplied and to be false.",
        ),
        (
            closed(a={"type": "object", "properties": {}}),
            "In context=('properties', 'a'), 'additionalProperties' is required to be supplied and to be false.",
        ),
        (
            closed(a={"type": "array", "items": {"anyOf": [{"properties": {}}]}}),
            "In context=('properties', 'a', 'items', 'anyOf', '0'), 'additionalProperties' is required",
        ),
        (
            {**closed(a={"type": "null"}), "required": []},
            "In context=(), 'required' is required to be supplied and to be an array including every key in "
            "properties. Missing 'a'.",
        ),
        (closed(a={"not": {"type": "null"}}), "In context=('properties', 'a'), 'not' is not permitted."),
        (
            closed(a={"type": "array", "items": {"type": "array", "uniqueItems": True}}),
            "In context=('properties', 'a', 'items'), 'uniqueItems' is not permitted.",
        ),
        (closed(a={"type": "string", "format": "weather"}), "Unknown format: weather."),
        (closed(a={"type": "string", "pattern": "(?=a)b"}), "look-around"),
    ],
)
def test_what_a_strict_schema_may_not_have(schema: dict, words: str):
    assert words in (fault(schema, strict=True) or "")


@pytest.mark.parametrize(
    ("schema", "words"),
    [
        ({"type": "magic"}, "magic"),
        ({"properties": 5}, "properties must be an object"),
        ({"type": "string", "pattern": "("}, "'pattern'"),
        ({"type": "string", "pattern": "(canary)+$" * 50}, "'pattern'"),
        ({"enum": ["x" * 70_000]}, "65536 characters"),
        ({"allOf": [{"$ref": "#/absent"}]}, "does not exist"),
        ({"properties": {f"p{i}": {"type": "null"} for i in range(900)}}, "too complex"),
    ],
)
def test_what_no_schema_may_have(schema: dict, words: str):
    for strict in (False, True):
        found = fault(closed(a=schema) if strict and "properties" not in schema else schema, strict=strict)
        assert found and (strict or words in found) and len(found) < 200 and "canary" not in found


@pytest.mark.parametrize("schema", [{"$ref": "#"}, {"anyOf": [{"$ref": "#"}]}])
def test_a_schema_that_is_only_itself(schema: dict):
    assert fault(schema, strict=False) == "it refers to itself without ever coming to an end."
