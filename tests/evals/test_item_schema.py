"""The part of JSON Schema that describes items: what fits, what does not and where, and what is refused or too dear."""

import pytest

from afina.errors import InvalidRequest
from afina.evals import item_schema
from afina.evals.item_schema import misfit, refuse_unreadable

POINT = {
    "type": "object",
    "properties": {"x": {"type": "number"}, "y": {"type": "number"}},
    "required": ["x", "y"],
    "additionalProperties": False,
}
TREE = {
    "$ref": "#/$defs/node",
    "$defs": {
        "node": {"type": "object", "properties": {"next": {"$ref": "#/$defs/node"}, "n": {"type": "integer"}}}
    },
}


@pytest.mark.parametrize(
    ("schema", "value", "why"),
    [
        ({}, "anything", None),
        ({"foo": "bar"}, 1, None),
        (True, 1, None),
        (False, 1, "item.v may not be there"),
        ({"type": "string"}, "a", None),
        ({"type": "string"}, 1, "item.v is not of type string"),
        ({"type": ["string", "null"]}, None, None),
        ({"type": ["string", "null"]}, 1, "item.v is not of type string or null"),
        ({"type": "integer"}, 2.0, None),
        ({"type": "integer"}, 2.5, "item.v is not of type integer"),
        ({"type": "number"}, True, "item.v is not of type number"),
        ({"type": "boolean"}, True, None),
        ({"type": "boolean"}, 1, "item.v is not of type boolean"),
        ({"enum": ["a", 1]}, 1, None),
        ({"enum": ["a", 1]}, True, "item.v is none of the values in 'enum'"),
        ({"enum": [{"a": 1, "b": [2.0]}]}, {"b": [2], "a": 1.0}, None),
        ({"enum": [[1]]}, [True], "item.v is none of the values in 'enum'"),
        ({"const": None}, None, None),
        ({"const": "a"}, "b", "item.v is not the value of 'const'"),
        ({"minimum": 2}, 2, None),
        ({"minimum": 2}, 1, "item.v is not >= 2"),
        ({"exclusiveMaximum": 2}, 2, "item.v is not < 2"),
        ({"multipleOf": 0.5}, 1.5, None),
        ({"multipleOf": 2}, 3, "item.v is not a multiple of 2"),
        ({"minimum": 2}, "text", None),
        ({"minLength": 2}, "ab", None),
        ({"minLength": 2}, "a", "item.v has fewer than 2 characters"),
        ({"maxItems": 1}, [1, 2], "item.v has more than 1 elements"),
        ({"minProperties": 1}, {}, "item.v has fewer than 1 properties"),
        ({"pattern": "^a+$"}, "aaa", None),
        ({"pattern": "^a+$"}, "ab", "item.v does not match 'pattern'"),
        (POINT, {"x": 1, "y": 2}, None),
        (POINT, {"x": 1}, "item.v.y is missing"),
        (POINT, {"x": 1, "y": "2"}, "item.v.y is not of type number"),
        (POINT, {"x": 1, "y": 2, "secret": 3}, "item.v has a property that 'properties' does not name"),
        ({"additionalProperties": {"type": "string"}}, {"secret": 1}, "item.v.* is not of type string"),
        ({"items": {"type": "string"}}, ["a", 1], "item.v[1] is not of type string"),
        ({"prefixItems": [{"type": "integer"}], "items": False}, [1], None),
        ({"prefixItems": [{"type": "integer"}], "items": False}, [1, 2], "item.v[1] may not be there"),
        ({"uniqueItems": True}, [1, 1], "item.v has the same element twice"),
        ({"uniqueItems": True}, [1, 1.0], "item.v has the same element twice"),
        ({"uniqueItems": True}, [1, True, "1"], None),
        ({"anyOf": [{"type": "string"}, {"type": "null"}]}, None, None),
        ({"anyOf": [{"type": "string"}, {"type": "null"}]}, 1, "item.v fits 0 of the schemas in 'anyOf'"),
        ({"oneOf": [{"type": "string"}, {"maxLength": 3}]}, "abc", "item.v fits 2 of the schemas in 'oneOf'"),
        ({"allOf": [{"minLength": 1}, {"maxLength": 2}]}, "abc", "item.v has more than 2 characters"),
        ({"not": {"type": "string"}}, "a", "item.v fits the schema in 'not'"),
    ],
)
def test_what_fits_and_what_does_not(schema, value, why: str | None):
    whole = {"properties": {"v": schema}}
    refuse_unreadable(whole, "item_schema")
    assert misfit(whole, {"v": value}) == why


def test_references_lead_into_the_schema():
    refuse_unreadable(TREE, "item_schema")
    assert misfit(TREE, {"next": {"next": {"n": 1}}}) is None
    assert misfit(TREE, {"next": {"next": {"n": "1"}}}) == "item.next.next.n is not of type integer"


@pytest.mark.parametrize(
    ("schema", "where", "why"),
    [
        ({"type": "text"}, "s", "the types are object, array"),
        ({"properties": []}, "s", "expected an object as 'properties'"),
        ({"properties": {"a": 1}}, "s.properties.a", "expected a JSON Schema"),
        ({"anyOf": [{}, {"if": {}}]}, "s.anyOf[1]", "'if' is not supported here"),
        ({"items": {"patternProperties": {}}}, "s.items", "'patternProperties' is not supported here"),
        ({"required": "a"}, "s", "expected an array as 'required'"),
        ({"required": [["a"]]}, "s", "expected strings in 'required'"),
        ({"minLength": "1"}, "s", "expected a number as 'minLength'"),
        ({"multipleOf": 0}, "s", "nothing is a multiple of 0"),
        ({"pattern": "("}, "s", "'pattern' is not a regular expression"),
        ({"$ref": "https://example.com/schema"}, "s", "'$ref' does not lead to a schema within this one"),
        ({"$ref": "#/$defs", "$defs": {"type": {}}}, "s", "'$ref' does not lead to a schema within this one"),
        ({"$ref": "#/mine", "mine": {"type": "x"}}, "s", "'$ref' does not lead to a schema within this one"),
        ({"$ref": "#/$defs/none"}, "s", "'$ref' does not lead to a schema within this one"),
    ],
)
def test_what_cannot_be_compared_with_is_refused(schema, where: str, why: str):
    with pytest.raises(InvalidRequest) as refused:
        refuse_unreadable(schema, "s")
    assert refused.value.param == where and why in refused.value.message


TOO_DEAR = "item cannot be compared with 'item_schema' in reasonable time"


def test_a_comparison_that_would_take_for_ever_ends(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(item_schema, "MOST_STEPS", 1000)
    monkeypatch.setattr(item_schema, "MOST_SECONDS", 0.01)
    assert misfit({"$ref": "#"}, {}) == TOO_DEAR
    doubling = {f"d{n}": {"allOf": [{"$ref": f"#/$defs/d{n + 1}"}] * 2} for n in range(40)}
    assert misfit({"$ref": "#/$defs/d0", "$defs": {**doubling, "d40": {}}}, {}) == TOO_DEAR
    assert misfit({"properties": {"v": {"pattern": r"^(a|a)*\1$"}}}, {"v": "a" * 40 + "b"}) == TOO_DEAR


def test_an_item_with_many_dear_patterns_is_given_up_as_one(monkeypatch: pytest.MonkeyPatch):
    """Each of them ends in time by itself."""
    searched: list[str] = []

    def slow(pattern: str, string: str, *, timeout: float) -> object:
        searched.append(string)
        clock.append(clock[-1] + 0.3)
        return True

    clock = [0.0]
    monkeypatch.setattr(item_schema, "_search", slow)
    monkeypatch.setattr(item_schema, "monotonic", lambda: clock[-1])
    assert misfit({"additionalProperties": {"pattern": "a"}}, {str(n): "a" for n in range(99)}) == TOO_DEAR
    assert len(searched) == 2
