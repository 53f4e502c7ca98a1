"""A create that is sent again makes no second object.

A client may name its attempt with a key. The official clients name nothing, but count their retries: a retry
of the same body within ten minutes is the same attempt, while two first attempts are two wishes.
"""

from dataclasses import dataclass

from sqlalchemy import ColumnElement, delete, func, select

from afina.errors import InvalidRequest
from afina.store import clock
from afina.store.rows import upsert
from afina.store.scope import Scope
from afina.store.tables import idempotency

KEPT_SECONDS = 24 * 3600
RETRY_SECONDS = 600


@dataclass(frozen=True)
class Attempt:
    """One request that creates something: `key` as the client sent it, `retries` as it counts them."""

    route: str
    key: str | None
    body_sha256: str
    retries: int = 0

    @property
    def name(self) -> str:
        """What the attempt is remembered by: the client's key, or else its body."""
        return f"body:{self.body_sha256}" if self.key is None else f"key:{self.key}"


def replay(scope: Scope, attempt: Attempt) -> str | None:
    """The id of what this attempt has made before, or None where it is new.

    Call it in the transaction that creates and remembers: an equal attempt waits here for its end.
    """
    take_turn(scope, attempt)
    row = scope.connection.execute(select(idempotency).where(same(scope, attempt))).one_or_none()
    if row is None:
        return None
    age = clock.seconds(scope) - row.created_at
    if attempt.key is None:
        return row.object_id if attempt.retries > 0 and age <= RETRY_SECONDS else None
    if age > KEPT_SECONDS:
        return None
    if row.body_sha256 != attempt.body_sha256:
        raise InvalidRequest(
            "This Idempotency-Key was used with another body. Use a new key for a new request.",
            code="idempotency_key_reused",
        )
    return row.object_id


def remember(scope: Scope, attempt: Attempt, object_id: str) -> None:
    """Note what an attempt has made, and forget what is too old to be replayed."""
    now = clock.seconds(scope)
    old = (idempotency.c.project_id == scope.project_id) & (idempotency.c.created_at < now - KEPT_SECONDS)
    scope.connection.execute(delete(idempotency).where(old))
    made = {"body_sha256": attempt.body_sha256, "object_id": object_id, "created_at": now}
    statement = upsert(scope, idempotency).values(
        project_id=scope.project_id, route=attempt.route, key=attempt.name, **made
    )
    scope.connection.execute(
        statement.on_conflict_do_update(index_elements=["project_id", "route", "key"], set_=made)
    )


def same(scope: Scope, attempt: Attempt) -> ColumnElement[bool]:
    """The row of an attempt."""
    return (
        (idempotency.c.project_id == scope.project_id)
        & (idempotency.c.route == attempt.route)
        & (idempotency.c.key == attempt.name)
    )


def take_turn(scope: Scope, attempt: Attempt) -> None:
    """Equal attempts go one after the other; SQLite has one writer at a time anyway."""
    if scope.connection.dialect.name == "postgresql":
        name = f"{scope.project_id} {attempt.route} {attempt.name}"
        scope.connection.execute(select(func.pg_advisory_xact_lock(func.hashtextextended(name, 0))))
