"""Field types of requests with the limits in their error messages."""

import math
import re
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import AfterValidator, GetCoreSchemaHandler
from pydantic_core import CoreSchema, PydanticCustomError, core_schema


@dataclass(frozen=True)
class AutoInt:
    """An integer between `least` and `most`, or the word "auto"; neither booleans nor strings are numbers."""

    least: int
    most: int

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_plain_validator_function(self.check)

    def check(self, value: object) -> object:
        """The value itself, or an error that names the range."""
        if value == "auto" or (type(value) is int and self.least <= value <= self.most):
            return value
        limits = {"least": self.least, "most": self.most}
        raise PydanticCustomError("invalid_value", "Expected integer {least}-{most} or 'auto'", limits)


@dataclass(frozen=True)
class AutoFloat:
    """A finite number above `above` and at most `most`, or the word "auto"."""

    above: float
    most: float

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_plain_validator_function(self.check)

    def check(self, value: object) -> object:
        """The value itself, or an error that names the range."""
        if value == "auto":
            return value
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise self.outside()
        if not (math.isfinite(value) and self.above < value <= self.most):
            raise self.outside()
        return value

    def outside(self) -> PydanticCustomError:
        """What is refused, with the range."""
        limits = {"above": f"{self.above:g}", "most": f"{self.most:g}"}
        return PydanticCustomError(
            "invalid_value", "Expected a number > {above} and <= {most} or 'auto'", limits
        )


def check_suffix(value: str) -> str:
    """1 to 64 letters, digits, `-` and `_`: the suffix becomes part of a model's name."""
    if not re.fullmatch(r"[A-Za-z0-9_-]{1,64}", value):
        raise PydanticCustomError(
            "invalid_value", "suffix may contain letters, digits, - and _, 1 to 64 of them"
        )
    return value


def check_seed(value: int) -> int:
    """Seeds are what OpenAI's are: 0 to 2147483647."""
    if not 0 <= value <= 2_147_483_647:
        raise PydanticCustomError("invalid_value", "Expected an integer between 0 and 2147483647")
    return value


def check_metadata(value: dict[str, str]) -> dict[str, str]:
    """At most 16 pairs, keys of up to 64 characters, values of up to 512."""
    if len(value) > 16:
        raise PydanticCustomError("invalid_value", "metadata may have at most 16 pairs")
    if any(not 1 <= len(key) <= 64 or key == "__proto__" for key in value):
        raise PydanticCustomError("invalid_value", "metadata keys must have 1 to 64 characters")
    if any(len(text) > 512 for text in value.values()):
        raise PydanticCustomError("invalid_value", "metadata values may have at most 512 characters")
    if any("\0" in text for pair in value.items() for text in pair):  # PostgreSQL could not look into it
        raise PydanticCustomError("invalid_value", "metadata may hold no NUL characters")
    return value


Suffix = Annotated[str, AfterValidator(check_suffix)]
Seed = Annotated[int, AfterValidator(check_seed)]
Metadata = Annotated[dict[str, str], AfterValidator(check_metadata)]
