"""What a job trains: a low-rank adapter beside a frozen base, or all weights, which makes a base of its own."""

from typing import Annotated, Literal, cast

from pydantic import AfterValidator, BeforeValidator, Field

from afina.schemas.record import Request

Linear = Annotated[str, Field(min_length=1, max_length=64)]
Targets = Annotated[
    list[Linear], Field(min_length=1, max_length=64), AfterValidator(lambda names: sorted(set(names)))
]


class LowRank(Request):
    """Low-rank adapter: `alpha / rank` scales its contribution, and with `rslora` alpha over the root of the rank.

    `targets` are the linear layers that it changes, by their last names; None means all of attention and of what
    follows it.
    """

    type: Literal["lora"] = "lora"
    rank: Annotated[int, Field(ge=1, le=256)] = 16
    alpha: Annotated[float, Field(gt=0, le=1024)] = 32.0
    rslora: bool = False
    targets: Targets | None = None


class Full(Request):
    """No adapter: all weights are trained."""

    type: Literal["full"]


def typed(value: object) -> object:
    """What names no type is a low-rank adapter."""
    return {"type": "lora", **cast("dict[str, object]", value)} if isinstance(value, dict) else value


AnyAdapter = LowRank | Full
Adapter = Annotated[Annotated[AnyAdapter, Field(discriminator="type")], BeforeValidator(typed)]
