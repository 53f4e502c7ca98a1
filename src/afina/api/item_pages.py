"""Pages of items that are read as a whole."""

from collections.abc import Sequence

from afina.schemas.response_items import Item
from afina.schemas.response_replies import ItemPage


def item_page(items: Sequence[Item], *, after: str | None, limit: int, ascending: bool) -> ItemPage:
    """Oldest first when `ascending`; behind an id that is not there, nothing."""
    ordered = list(items) if ascending else list(reversed(items))
    names = [item.id for item in ordered]
    if after is not None:
        ordered = ordered[names.index(after) + 1 :] if after in names else []
    page = ordered[:limit]
    return ItemPage(
        data=page,
        first_id=page[0].id if page else None,
        last_id=page[-1].id if page else None,
        has_more=len(ordered) > limit,
    )
