"""The items of runs: written when a run begins, and given their results one group after the other."""

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import ColumnElement, bindparam, select, update
from sqlalchemy import delete as delete_from
from sqlalchemy import insert as insert_into

from afina import ids
from afina.errors import NotFound, clipped
from afina.schemas.chat_messages import JsonObject
from afina.schemas.eval_runs import ItemResult, ItemStatus, OutputItem, Sample
from afina.schemas.record import Page, Record
from afina.store import clock
from afina.store.eval_tables import eval_items
from afina.store.pages import page as page_of
from afina.store.rows import columns, from_row, to_row
from afina.store.scope import Scope


class WaitingItem(Record):
    """An item that has no result yet; `recorded` is the sample that it brought along."""

    id: str
    datasource_item_id: int
    datasource_item: JsonObject
    recorded: JsonObject | None = None


@dataclass(frozen=True)
class Settled:
    """What became of an item."""

    id: str
    status: ItemStatus
    results: list[ItemResult]
    sample: Sample


def add(
    scope: Scope,
    eval_id: str,
    run_id: str,
    rows: Sequence[tuple[JsonObject, JsonObject | None]],
    *,
    first: int,
) -> None:
    """Add items with the samples that they bring along; `first` is the number of the first of them."""
    now = clock.seconds(scope)
    values = [
        {
            "id": ids.prefixed("outputitem_"),
            "project_id": scope.project_id,
            "eval_id": eval_id,
            "run_id": run_id,
            "created_at": now,
            "datasource_item_id": number,
            "datasource_item": item,
            "recorded": recorded,
        }
        for number, (item, recorded) in enumerate(rows, first)
    ]
    if values:
        scope.connection.execute(insert_into(eval_items), values)


def keep(scope: Scope, items: Sequence[OutputItem]) -> None:
    """Add items that have their results already."""
    if items:
        mine = [each.model_copy(update={"project_id": scope.project_id}) for each in items]
        scope.connection.execute(insert_into(eval_items), [to_row(eval_items, each) for each in mine])


def clear(scope: Scope, run_id: str) -> None:
    """Take away the items of a run whose beginning broke off."""
    scope.connection.execute(delete_from(eval_items).where(of(scope, run_id)))


def waiting(scope: Scope, run_id: str, *, after: int, limit: int) -> list[WaitingItem]:
    """Items without a result whose number is above `after`, in their order."""
    query = select(eval_items).where(
        of(scope, run_id), eval_items.c.status.is_(None), eval_items.c.datasource_item_id > after
    )
    found = scope.connection.execute(query.order_by(eval_items.c.seq).limit(limit))
    return [from_row(WaitingItem, row) for row in found]


def settle(scope: Scope, run_id: str, settled: Sequence[Settled]) -> None:
    """Write what became of some items."""
    if not settled:
        return
    changed = update(eval_items).where(of(scope, run_id), eval_items.c.id == bindparam("item"))
    changed = changed.values(status=bindparam("now"), results=bindparam("found"), sample=bindparam("said"))
    rows = [
        {"item": each.id, "now": each.status, "found": documents["results"], "said": documents["sample"]}
        for each in settled
        for documents in [columns(eval_items, {"results": each.results, "sample": each.sample})]
    ]
    scope.connection.execute(changed, rows)


def get(scope: Scope, run_id: str, item_id: str) -> OutputItem:
    """One item of a run that has its result."""
    query = select(eval_items).where(
        of(scope, run_id), eval_items.c.id == item_id, eval_items.c.status.is_not(None)
    )
    row = scope.connection.execute(query).one_or_none()
    if row is None:
        raise NotFound(f"No output item found with id '{clipped(item_id)}'.", param="output_item_id")
    return from_row(OutputItem, row)


def page(
    scope: Scope,
    run_id: str,
    *,
    after: str | None = None,
    limit: int = 20,
    ascending: bool = True,
    status: ItemStatus | None = None,
) -> Page[OutputItem]:
    """The items of a run that have their results, in the order of the data."""
    known = eval_items.c.status
    return page_of(
        scope,
        eval_items,
        OutputItem,
        mine=of(scope, run_id),
        where=known.is_not(None) if status is None else known == status,
        after=after,
        limit=limit,
        ascending=ascending,
    )


def of(scope: Scope, run_id: str) -> ColumnElement[bool]:
    """The items of one of this project's runs."""
    return (eval_items.c.project_id == scope.project_id) & (eval_items.c.run_id == run_id)
