"""What a database can fail at, in this project's own errors."""

import sqlite3
from collections.abc import Generator
from contextlib import contextmanager
from typing import Protocol, runtime_checkable

from sqlalchemy.exc import IntegrityError, OperationalError, TimeoutError

from afina.errors import Unavailable

UNIQUE_IN_POSTGRESQL = "23505"
DISK_FULL_IN_POSTGRESQL = "53100"


@runtime_checkable
class PostgresError(Protocol):
    """What an error of psycopg tells; the package itself is there only where PostgreSQL is used."""

    sqlstate: str | None


@contextmanager
def translated() -> Generator[None]:
    """Failures that a retry or an operator can mend become `Unavailable`; all others are bugs and pass."""
    try:
        yield
    except TimeoutError as error:  # no free connection
        raise database_busy() from error
    except OperationalError as error:
        if is_full(error.orig):
            raise no_space() from error
        if is_busy(error.orig):
            raise database_busy() from error
        raise
    except IntegrityError as error:
        # A new id that exists, or a race for a name that somebody else has won: try again.
        if is_unique(error.orig):
            raise Unavailable(
                "Somebody else wrote the same thing at this moment. Try again.", code="name_taken"
            ) from error
        raise


def database_busy() -> Unavailable:
    """The lock was not to be had in time, or the server is away."""
    return Unavailable("The database is busy. Try again in a second.", code="database_busy", retry_after=1)


def no_space() -> Unavailable:
    """Retrying does not make room."""
    return Unavailable(
        "The disk of the database is full. Make room on it.", code="insufficient_storage", retry_after=None
    )


def is_busy(cause: BaseException | None) -> bool:
    """A lock that was not released in time; for PostgreSQL also a server that cannot be reached."""
    if isinstance(cause, sqlite3.OperationalError):
        return primary(cause) in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)
    return isinstance(cause, PostgresError)


def is_full(cause: BaseException | None) -> bool:
    """No space is left for the rows."""
    if isinstance(cause, PostgresError):
        return cause.sqlstate == DISK_FULL_IN_POSTGRESQL
    return isinstance(cause, sqlite3.Error) and primary(cause) == sqlite3.SQLITE_FULL


def is_unique(cause: BaseException | None) -> bool:
    """A value that may exist only once exists already."""
    if isinstance(cause, PostgresError):
        return cause.sqlstate == UNIQUE_IN_POSTGRESQL
    unique = (sqlite3.SQLITE_CONSTRAINT_UNIQUE, sqlite3.SQLITE_CONSTRAINT_PRIMARYKEY)
    return isinstance(cause, sqlite3.Error) and cause.sqlite_errorcode in unique


def primary(cause: sqlite3.Error) -> int:
    """SQLite's error code without its extension."""
    return cause.sqlite_errorcode & 0xFF
