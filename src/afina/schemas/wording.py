"""Validation errors in OpenAI's words: which parameter, what is expected; never what was sent."""

from collections.abc import Mapping
from typing import TypeVar, cast

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from afina.errors import InvalidRequest, clipped

TYPES = {
    "bool_type": "a boolean",
    "dict_type": "an object",
    "float_parsing": "a number",
    "float_type": "a number",
    "int_from_float": "an integer",
    "int_parsing": "an integer",
    "int_type": "an integer",
    "list_type": "an array",
    "model_attributes_type": "an object",
    "model_type": "an object",
    "string_type": "a string",
}
ABSENT = object()

Model = TypeVar("Model", bound=BaseModel)


def validated(model: type[Model], value: object) -> Model:
    """The request that a JSON value is; a 400 names the first parameter that is wrong."""
    try:
        return model.model_validate(value)
    except ValidationError as error:
        raise invalid(error.errors(include_url=False, include_input=False)[0], value) from None


def invalid(error: ErrorDetails, body: object) -> InvalidRequest:
    """The first of pydantic's errors as a 400 that names the parameter; `body` is what was validated."""
    path = dotted(steps(error, body))
    match error["type"]:
        case "missing":
            return InvalidRequest(
                f"Missing required parameter: '{path}'.", param=path, code="missing_required_parameter"
            )
        case "extra_forbidden":
            return InvalidRequest(f"Unknown parameter: '{path}'.", param=path, code="unknown_parameter")
        case kind if kind in TYPES:
            return InvalidRequest(
                f"Invalid type for '{path}': expected {TYPES[kind]}.", param=path, code="invalid_type"
            )
        case "invalid_type":
            return InvalidRequest(
                f"Invalid type for '{path}': {error['msg']}.", param=path, code="invalid_type"
            )
        case "union_tag_not_found" | "union_tag_invalid":
            return wrong_member(error, path)
        case _:
            return InvalidRequest(
                f"Invalid '{path}': {expectation(error)}.", param=path, code="invalid_value"
            )


def wrong_member(error: ErrorDetails, path: str) -> InvalidRequest:
    """An object of a union whose `type` or `role` is missing or unknown."""
    context = error.get("ctx", {})
    discriminator = str(context.get("discriminator", "")).strip("'")
    param = f"{path}.{discriminator}"
    if error["type"] == "union_tag_not_found":
        return InvalidRequest(
            f"Missing required parameter: '{param}'.", param=param, code="missing_required_parameter"
        )
    message = f"Invalid value for '{param}'. Supported values are: {context.get('expected_tags')}."
    return InvalidRequest(message, param=param, code="invalid_value")


def expectation(error: ErrorDetails) -> str:
    """What would be right; only messages that never repeat the input are passed on."""
    context = error.get("ctx", {})
    unit = "character" if error["type"].startswith("string_") else "item"
    match error["type"]:
        case "literal_error":
            return f"supported values are {context['expected']}"
        case "string_too_long" | "too_long":
            return f"expected at most {context['max_length']} {unit}(s)"
        case "string_too_short" | "too_short":
            return f"expected at least {context['min_length']} {unit}(s)"
        case "string_pattern_mismatch":
            return f"expected a string that matches {context['pattern']}"
        case "value_error":
            return "the value is not accepted"
        case _:
            return error["msg"].removeprefix("Input should be ").rstrip(".")


def steps(error: ErrorDetails, body: object) -> list[str | int]:
    """The error's place as steps that exist in the body: pydantic also lists the members of unions."""
    found: list[str | int] = []
    for number, step in enumerate(error["loc"], 1):
        absent = number == len(error["loc"]) and error["type"] == "missing"
        inner = inside(body, step)
        if inner is not ABSENT or absent:
            found.append(step)
            body = inner
    return found


def inside(body: object, step: str | int) -> object:
    """What one step leads to, or ABSENT."""
    if isinstance(body, Mapping):
        return cast("Mapping[object, object]", body).get(step, ABSENT)
    if isinstance(body, list) and isinstance(step, int):
        items = cast("list[object]", body)
        return items[step] if step < len(items) else ABSENT
    return ABSENT


def dotted(path: list[str | int]) -> str:
    """`messages[0].content`: OpenAI's way of naming a place."""
    text = "".join(f"[{step}]" if isinstance(step, int) else f".{clipped(step)}" for step in path)
    return text.removeprefix(".")
