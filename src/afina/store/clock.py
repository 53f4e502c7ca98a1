"""Time as the database tells it, so that machines whose clocks differ agree on leases."""

from typing import Any

from sqlalchemy import Double, select
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import FunctionElement
from sqlalchemy.types import TypeEngine

from afina.store.scope import Transaction


class Now(FunctionElement[float]):
    """Seconds since 1970 with their fraction, as an SQL expression."""

    type: TypeEngine[float] = Double()
    inherit_cache = True


@compiles(Now, "sqlite")
def now_in_sqlite(element: Now, compiler: SQLCompiler, **options: Any) -> str:
    """The Julian day of 1 January 1970, 0 h is 2440587.5."""
    return "((julianday('now') - 2440587.5) * 86400.0)"


@compiles(Now, "postgresql")
def now_in_postgresql(element: Now, compiler: SQLCompiler, **options: Any) -> str:
    """The start of the statement: now() stands still within a transaction, clock_timestamp() uses no index."""
    return "CAST(extract(epoch FROM statement_timestamp()) AS double precision)"


NOW = select(Now())


def seconds(transaction: Transaction) -> int:
    """Now, as the wire counts it: whole seconds since 1970."""
    return int(transaction.connection.execute(NOW).scalar_one())
