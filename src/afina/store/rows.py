"""A record as a row, a row as a record: columns and fields have the same names."""

from collections.abc import Mapping, Sequence
from functools import cache
from typing import TypeVar

from pydantic_core import to_jsonable_python
from sqlalchemy import JSON, ColumnElement, Row, Table, column, func, or_, select
from sqlalchemy.dialects import postgresql, sqlite

from afina.schemas.record import Record
from afina.store.scope import Transaction
from afina.store.tables import Words

Kind = TypeVar("Kind", bound=Record)


def to_row(table: Table, record: Record) -> dict[str, object]:
    """The columns of `table` that the record has, its internal fields included."""
    return columns(table, dict(record))


def columns(table: Table, fields: Mapping[str, object]) -> dict[str, object]:
    """Fields as columns: what goes into a JSON column becomes plain lists and dictionaries."""
    return {
        name: to_jsonable_python(value) if isinstance(table.c[name].type, JSON) else value
        for name, value in fields.items()
        if name in table.c
    }


def from_row(kind: type[Kind], row: Row[*tuple[object, ...]]) -> Kind:
    """The record in a row; columns that the record does not have (such as `seq`) stay behind."""
    return from_rows(kind, [row])[0]


def from_rows(kind: type[Kind], rows: Sequence[Row[*tuple[object, ...]]]) -> list[Kind]:
    """The records in the rows of one query."""
    if not rows:
        return []
    names = rows[0]._fields  # pyright: ignore[reportPrivateUsage] -- public, and underscored to keep column names free
    known = fields_of(kind)
    places = [(place, name) for place, name in enumerate(names) if name in known]
    return [kind.model_validate({name: row[place] for place, name in places}) for row in rows]


@cache
def fields_of(kind: type[Record]) -> frozenset[str]:
    """The names of a record's fields; pydantic looks them up anew whenever it is asked."""
    return frozenset(kind.model_fields)


def named(owner: ColumnElement[str], name: str) -> ColumnElement[bool]:
    """Whether an owner has this name, or one that begins with it and a colon."""
    return or_(owner == name, owner.startswith(f"{name}:", autoescape=True))


def carries(
    transaction: Transaction, metadata: ColumnElement[object], pair: tuple[str, str]
) -> ColumnElement[bool]:
    """Whether metadata has a pair; its two halves arrive as values, never as a part of a JSON path."""
    in_postgresql = transaction.connection.dialect.name == "postgresql"
    each = func.json_each_text if in_postgresql else func.json_each
    found = each(metadata).table_valued(column("key", Words()), column("value", Words()))
    return select(1).select_from(found).where(found.c.key == pair[0], found.c.value == pair[1]).exists()


def upsert(transaction: Transaction, table: Table) -> postgresql.Insert | sqlite.Insert:
    """An INSERT that can say `on_conflict_do_update`: one clause, spelt by each dialect's own class."""
    if transaction.connection.dialect.name == "postgresql":
        return postgresql.insert(table)
    return sqlite.insert(table)
