"""A create that is sent again makes no second object.

A client may name its attempt with a key. The official clients name nothing, but count their retries: a retry
of the same body within ten minutes is the same attempt, while two first attempts are two wishes.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

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
    def again(self) -> bool:
        """Whether an earlier attempt may have made something: without a key, a first one is a new wish."""
        return self.key is not None or self.retries > 0

    @property
    def name(self) -> str:
        """What the attempt is remembered by: the client's key, or else its body."""
        return f"body:{self.body_sha256}" if self.key is None else f"key:{self.key}"


@dataclass(frozen=True)
class Made:
    """The id of what an attempt has made, and what it takes to answer again as the first time."""

    object_id: str
    detail: Mapping[str, object] = field(default_factory=dict[str, object])


def replay(scope: Scope, attempt: Attempt) -> Made | None:
    """What this attempt has made before, or None where it is new.

    Call it in the transaction that creates and remembers: an equal attempt waits here for its end.
    """
    take_turn(scope, attempt)
    row = scope.connection.execute(select(idempotency).where(same(scope, attempt))).one_or_none()
    if row is None:
        return None
    age, made = clock.seconds(scope) - row.created_at, Made(row.object_id, row.detail or {})
    if attempt.key is None:
        return made if attempt.retries > 0 and age <= RETRY_SECONDS else None
    if age > KEPT_SECONDS:
        return None
    if row.body_sha256 != attempt.body_sha256:
        raise InvalidRequest(
            "This Idempotency-Key was used with another body. Use a new key for a new request.",
            code="idempotency_key_reused",
        )
    return made


def remember(
    scope: Scope, attempt: Attempt, object_id: str, *, detail: Mapping[str, object] | None = None
) -> None:
    """Note what an attempt has made, and forget what is too old to be replayed; `detail` is JSON."""
    now = clock.seconds(scope)
    mine = idempotency.c.project_id == scope.project_id
    scope.connection.execute(delete(idempotency).where(mine, too_old(now)))
    made = {
        "body_sha256": attempt.body_sha256,
        "object_id": object_id,
        "detail": dict(detail) if detail else None,
        "created_at": now,
    }
    statement = upsert(scope, idempotency).values(
        project_id=scope.project_id, route=attempt.route, key=attempt.name, **made
    )
    scope.connection.execute(
        statement.on_conflict_do_update(index_elements=["project_id", "route", "key"], set_=made)
    )


def too_old(now: int) -> ColumnElement[bool]:
    """Rows that are not replayed any more."""
    return idempotency.c.created_at < now - KEPT_SECONDS


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
