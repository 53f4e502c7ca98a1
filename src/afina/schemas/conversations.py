"""Conversations: items under one id, to which responses add theirs."""

from typing import Annotated, Literal

from pydantic import Field

from afina.schemas.bounds import Metadata
from afina.schemas.record import Record, Request, internal
from afina.schemas.response_items import Item


class Conversation(Record):
    """`items` are those that no response has taken over yet; the others are those of its responses, up to the last,

    without those whose ids were `removed`.
    """

    id: str
    object: Literal["conversation"] = "conversation"
    created_at: int
    metadata: dict[str, str] = {}
    items: list[Item] = internal([])
    removed: list[str] | None = internal()
    last_response_id: str | None = internal()


class CreateConversation(Request):
    """The body of `POST /conversations`."""

    items: Annotated[list[Item], Field(max_length=20)] | None = None
    metadata: Metadata | None = None


class CreateItems(Request):
    """The body of `POST /conversations/{id}/items`."""

    items: Annotated[list[Item], Field(min_length=1, max_length=20)]


class UpdateConversation(Request):
    """The body of `POST /conversations/{id}`."""

    metadata: Metadata | None
