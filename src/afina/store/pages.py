"""One way to page: by `seq`, or by a column and then by `seq`, after an id, with an honest `has_more`."""

from collections.abc import Sequence
from typing import TypeVar

from sqlalchemy import ColumnElement, Table, and_, or_, select

from afina.schemas.record import Page, Record
from afina.store.rows import from_rows
from afina.store.scope import Transaction

Kind = TypeVar("Kind", bound=Record)
LONGEST = 10_000


def page(
    transaction: Transaction,
    table: Table,
    kind: type[Kind],
    *,
    mine: ColumnElement[bool],
    where: ColumnElement[bool] | None = None,
    after: str | None,
    limit: int,
    ascending: bool = False,
    by: ColumnElement[int] | None = None,
) -> Page[Kind]:
    """Rows of `table` newest first, or oldest first when `ascending`; `by` is a column that orders before `seq`.

    `mine` says which rows the caller may see, also as a cursor; `where` is what they asked for. An `after`
    that is unknown or another project's gives an empty page. `limit` is clamped to 1..10000.
    """
    limit = min(max(limit, 1), LONGEST)
    order = [table.c.seq] if by is None else [by, table.c.seq]
    query = select(table).where(mine).order_by(*(key.asc() if ascending else key.desc() for key in order))
    if where is not None:
        query = query.where(where)
    if after is not None:
        last = [
            select(key).where(mine, table.c.id == after).correlate(None).scalar_subquery() for key in order
        ]
        query = query.where(behind(order, last, ascending=ascending))
    rows = transaction.connection.execute(query.limit(limit + 1)).all()
    found = from_rows(kind, rows[:limit])
    ids = [str(row.id) for row in rows[:limit]]
    return Page[kind](
        data=found,
        first_id=ids[0] if ids else None,
        last_id=ids[-1] if ids else None,
        has_more=len(rows) > limit,
    )


def behind(
    order: Sequence[ColumnElement[int]], last: Sequence[ColumnElement[int]], *, ascending: bool
) -> ColumnElement[bool]:
    """Whether a row comes after the last one that was seen; rows alike in one key are told apart by the next."""
    (key, *rest), (seen, *others) = order, last
    further = key > seen if ascending else key < seen
    return further if not rest else or_(further, and_(key == seen, behind(rest, others, ascending=ascending)))
