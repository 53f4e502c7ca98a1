"""Pages of what is read as a whole: the items of a conversation, the messages of a stored chat."""

from collections.abc import Sequence
from typing import Protocol, TypeVar

from afina.api.queries import ItemQuery
from afina.schemas.response_items import Item
from afina.schemas.response_replies import ItemPage


class Identified(Protocol):
    """What has an id, by which a page goes on."""

    @property
    def id(self) -> str | None:
        """Its name in a list."""


Kind = TypeVar("Kind", bound=Identified)


def cut(items: Sequence[Kind], which: ItemQuery) -> tuple[list[Kind], bool]:
    """The items of one page and whether more follow. Behind an id that is not there is nothing."""
    ordered = list(items) if which.ascending else list(reversed(items))
    if which.after is not None:
        names = [item.id for item in ordered]
        ordered = ordered[names.index(which.after) + 1 :] if which.after in names else []
    return ordered[: which.limit], len(ordered) > which.limit


def item_page(items: Sequence[Item], which: ItemQuery) -> ItemPage:
    """One page of items on the wire."""
    page, has_more = cut(items, which)
    return ItemPage(
        data=page,
        first_id=page[0].id if page else None,
        last_id=page[-1].id if page else None,
        has_more=has_more,
    )
