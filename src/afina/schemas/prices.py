"""What an operator asks for tokens."""

from typing import Annotated, Literal

from pydantic import Field

from afina.schemas.record import Record, Request, internal

Usd = Annotated[float, Field(ge=0, le=1_000_000)]  # for a million tokens


class SetPrice(Request):
    """The body of `POST /v1/afina/prices`. Without a price of their own, cached tokens cost as much as others."""

    model: Annotated[str, Field(min_length=1, max_length=256)]
    input: Usd
    output: Usd
    cached_input: Usd | None = None
    training: Usd = 0.0


class Price(Record):
    """US dollars for a million tokens of a model; a base's price is also that of the models tuned from it."""

    id: str
    object: Literal["afina.price"] = "afina.price"
    model: str
    input: float
    cached_input: float
    output: float
    training: float
    updated_at: int
    organization_id: str = internal("")

    def covers(self, model: str) -> bool:
        """Whether it is this model's, or that of its base."""
        return model == self.model or model.startswith(f"ft:{self.model}:")
