"""What all objects here share: records are frozen, requests refuse unknown fields."""

from typing import Any, Generic, TypeVar

from pydantic import BaseModel, ConfigDict, Field


class Record(BaseModel):
    """A reply, or a row read from the store. Fields declared with `internal()` never reach the wire."""

    model_config = ConfigDict(frozen=True, extra="forbid", protected_namespaces=())

    def wire(self) -> dict[str, object]:
        """The JSON object that a client sees."""
        return self.model_dump(mode="json")


def internal(default: object = None) -> Any:
    """A field of the record that is not part of the wire's object, such as the project it belongs to."""
    return Field(default, exclude=True)


class Request(BaseModel):
    """A request's body: strict types, finite numbers, no unknown fields."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", strict=True, protected_namespaces=(), allow_inf_nan=False
    )


Item = TypeVar("Item", bound=Record)


class Page(Record, Generic[Item]):
    """One page of a list. `has_more` is always said: clients page until it is false."""

    object: str = "list"
    data: list[Item]
    first_id: str | None
    last_id: str | None
    has_more: bool


class Deleted(Record):
    """The reply to a DELETE."""

    id: str
    object: str
    deleted: bool = True
