"""Pages of what is read as a whole: the items of a conversation, the messages of a stored chat."""

from collections.abc import Sequence
from typing import Protocol, TypeVar

from afina.schemas.response_items import Item
from afina.schemas.response_replies import ItemPage


class Identified(Protocol):
    """What has an id, by which a page goes on."""

    @property
    def id(self) -> str | None:
        """Its name in a list."""


Kind = TypeVar("Kind", bound=Identified)


def cut(items: Sequence[Kind], *, after: str | None, limit: int, ascending: bool) -> tuple[list[Kind], bool]:
    """The items of one page, oldest first when `ascending`, and whether more follow.

    Behind an id that is not there is nothing.
    """
    ordered = list(items) if ascending else list(reversed(items))
    if after is not None:
        names = [item.id for item in ordered]
        ordered = ordered[names.index(after) + 1 :] if after in names else []
    return ordered[:limit], len(ordered) > limit


def item_page(items: Sequence[Item], *, after: str | None, limit: int, ascending: bool) -> ItemPage:
    """One page of items on the wire."""
    page, has_more = cut(items, after=after, limit=limit, ascending=ascending)
    return ItemPage(
        data=page,
        first_id=page[0].id if page else None,
        last_id=page[-1].id if page else None,
        has_more=has_more,
    )
