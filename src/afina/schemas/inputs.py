"""Inputs that may be one thing or several: their first item tells which."""

from typing import Annotated, cast

from pydantic import Discriminator, Field

Ids = Annotated[list[Annotated[int, Field(ge=0)]], Field(min_length=1)]


def input_kind(value: object) -> str | None:
    """Which member of a union of inputs a value belongs to."""
    if isinstance(value, str):
        return "text"
    if not isinstance(value, list) or not value:
        return None
    match cast("list[object]", value)[0]:
        case bool():
            return None
        case str():
            return "texts"
        case int():
            return "ids"
        case list():
            return "rows"
        case _:
            return "parts"


def by_first_item(message: str) -> Discriminator:
    """Tells inputs apart, and says `message` when it is none of those that are taken."""
    return Discriminator(input_kind, custom_error_type="invalid_type", custom_error_message=message)
