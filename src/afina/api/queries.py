"""Query parameters of lists, with OpenAI's defaults and limits."""

import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Annotated, Literal

from fastapi import Depends, Query, Request

from afina.errors import InvalidRequest

After = Annotated[str | None, Query(max_length=512)]
Order = Annotated[Literal["asc", "desc"], Query()]


def limited(default: int, most: int) -> Callable[[int], Awaitable[int]]:
    """A dependency: how many at once. 0 means 1, as OpenAI's own suite has it."""

    async def read(limit: int = default) -> int:
        if not 0 <= limit <= most:
            raise InvalidRequest(
                f"Invalid 'limit': must be between 1 and {most}.", param="limit", code="invalid_value"
            )
        return max(1, limit)

    return read


Limit = Annotated[int, Depends(limited(20, 100))]


@dataclass(frozen=True)
class ItemQuery:
    """Which items of a list that is read as a whole."""

    after: str | None
    limit: int
    ascending: bool


async def item_query(limit: Limit, after: After = None, order: Order = "desc") -> ItemQuery:
    """The newest items first, unless asked otherwise."""
    return ItemQuery(after, limit, ascending=order == "asc")


WhichItems = Annotated[ItemQuery, Depends(item_query)]


@dataclass(frozen=True)
class MetadataFilter:
    """Which pairs a listed object must carry; `absent`: only objects without any."""

    pairs: dict[str, str]
    absent: bool


async def metadata(request: Request) -> MetadataFilter:
    """`metadata[key]=value` pairs, or `metadata=null` for what has none."""
    items = request.query_params.multi_items()
    pairs = [(re.fullmatch(r"metadata\[(.*)\]", name), value) for name, value in items]
    found = {match[1]: value for match, value in pairs if match}
    return MetadataFilter(found, absent=request.query_params.get("metadata") == "null")


WithMetadata = Annotated[MetadataFilter, Depends(metadata)]
