"""One way to page: by `seq`, after an id, with an honest `has_more`."""

from typing import TypeVar

from sqlalchemy import ColumnElement, Table, select

from afina.schemas.record import Page, Record
from afina.store.rows import from_row
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
) -> Page[Kind]:
    """Rows of `table` newest first, or oldest first when `ascending`.

    `mine` says which rows the caller may see, also as a cursor; `where` is what they asked for. An `after`
    that is unknown or another project's gives an empty page. `limit` is clamped to 1..10000.
    """
    limit = min(max(limit, 1), LONGEST)
    query = select(table).where(mine).order_by(table.c.seq.asc() if ascending else table.c.seq.desc())
    if where is not None:
        query = query.where(where)
    if after is not None:
        start = select(table.c.seq).where(mine, table.c.id == after).correlate(None).scalar_subquery()
        query = query.where(table.c.seq > start if ascending else table.c.seq < start)
    rows = transaction.connection.execute(query.limit(limit + 1)).all()
    found = [from_row(kind, row) for row in rows[:limit]]
    ids = [str(row.id) for row in rows[:limit]]
    return Page[kind](
        data=found,
        first_id=ids[0] if ids else None,
        last_id=ids[-1] if ids else None,
        has_more=len(rows) > limit,
    )
