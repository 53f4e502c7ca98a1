"""What is asked for when an API key is made."""

from typing import Annotated, Literal

from pydantic import Field

from afina.schemas.record import Request


class CreateKey(Request):
    """The body of `POST /v1/afina/keys`; `expires_after` in seconds, at most ten years."""

    name: Annotated[str, Field(pattern=r"^[\w .,@()+-]{1,64}$")]
    role: Literal["owner", "member", "viewer"] = "member"
    expires_after: Annotated[int, Field(ge=1, le=315_360_000)] | None = None
