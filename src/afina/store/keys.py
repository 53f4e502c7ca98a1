"""API keys: only the SHA-256 of the whole token is stored."""

import hashlib
import hmac
from dataclasses import dataclass
from typing import Literal

from sqlalchemy import ColumnElement, and_, bindparam, select, update
from sqlalchemy import insert as insert_into

from afina import ids
from afina.errors import InvalidRequest, NotFound, clipped
from afina.schemas.record import Page, Record, internal
from afina.store import audit, clock
from afina.store.clock import Now
from afina.store.pages import page as page_of
from afina.store.rows import from_row, to_row
from afina.store.scope import Scope, System
from afina.store.tables import keys, organizations, projects

Role = Literal["admin", "owner", "member", "viewer"]  # an admin acts for the whole organisation
LONG = 40  # characters of a secret, four of which tell nothing about the others


class Key(Record):
    """Who may act for a project, and in which role; the secret itself is nowhere."""

    id: str
    object: Literal["key"] = "key"
    name: str
    role: Role
    created_at: int
    expires_at: int | None = None
    revoked_at: int | None = None
    project_id: str = internal("")  # type: ignore[assignment]
    sha256: str = internal("")  # type: ignore[assignment]
    hint: str | None = internal()
    service_account_id: str | None = internal()

    @property
    def redacted(self) -> str:
        """As much of the secret as lets its owner tell it from others."""
        return f"sk-...{self.hint or ''}"

    def is_expired(self, now: float) -> bool:
        """Whether its time is over; `now` by the database's clock."""
        return self.expires_at is not None and self.expires_at <= now


@dataclass(frozen=True)
class Holder:
    """A key with whose it is, as of a moment of the database's clock."""

    key: Key
    organization_id: str
    organization: str  # its slug
    archived: bool
    now: float


HOLDER = (
    select(
        keys,
        projects.c.organization_id,
        projects.c.archived_at,
        organizations.c.slug.label("organization"),
        Now().label("now"),
    )
    .join(projects, projects.c.id == keys.c.project_id)
    .join(organizations, organizations.c.id == projects.c.organization_id)
    .where(keys.c.sha256 == bindparam("wanted"))
)


def digest(secret: str) -> str:
    """SHA-256 of the whole token: enough for a secret of 230 random bits, and quick at every request."""
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).hexdigest()


def insert(
    scope: Scope,
    secret: str,
    *,
    name: str,
    role: Role,
    expires_at: int | None = None,
    service_account_id: str | None = None,
    actor: str = "api",
) -> Key:
    """Store a key for this project; the caller shows `secret` once and forgets it."""
    key = Key(
        id=ids.prefixed("key_"),
        name=name,
        role=role,
        created_at=clock.seconds(scope),
        expires_at=expires_at,
        project_id=scope.project_id,
        sha256=digest(secret),
        hint=secret[-4:] if len(secret) >= LONG else None,
        service_account_id=service_account_id,
    )
    scope.connection.execute(insert_into(keys).values(to_row(keys, key)))
    audit.record(scope, "key.created", key.id, actor=actor, detail={"role": role})
    return key


def find(system: System, secret: str) -> Key | None:
    """The key with this token, revoked and expired ones too: the caller says which of them is refused how."""
    held = holder(system, secret)
    return None if held is None else held.key


def holder(system: System, secret: str) -> Holder | None:
    """As `find`, with whose the key is: every request asks this, so it is one statement."""
    wanted = digest(secret)
    row = system.connection.execute(HOLDER, {"wanted": wanted}).one_or_none()
    if row is None or not hmac.compare_digest(row.sha256, wanted):
        return None
    archived = row.archived_at is not None
    return Holder(from_row(Key, row), row.organization_id, row.organization, archived, row.now)


def get(scope: Scope, key_id: str, *, admin: bool = False) -> Key:
    """One key of this project; the organisation's admin keys are another list, kept with its first project."""
    query = select(keys).where(mine(scope, admin=admin), keys.c.id == key_id)
    row = scope.connection.execute(query).one_or_none()
    if row is None:
        raise NotFound(f"No such key: {clipped(key_id)}", param="id")
    return from_row(Key, row)


def living(scope: Scope, key_id: str, *, admin: bool = False) -> Key:
    """As `get`, but a revoked key is as good as none."""
    key = get(scope, key_id, admin=admin)
    if key.revoked_at is not None:
        raise NotFound(f"No such key: {key.id}", param="id")
    return key


def mine(scope: Scope, *, admin: bool = False) -> ColumnElement[bool]:
    """The project's own keys, or the organisation's that are kept with it."""
    return and_(keys.c.project_id == scope.project_id, (keys.c.role == "admin") == admin)


def page(
    scope: Scope,
    *,
    after: str | None = None,
    limit: int = 20,
    admin: bool = False,
    living: bool = False,
    ascending: bool = False,
) -> Page[Key]:
    """The project's keys, newest first; where only `living` ones are asked for, none that was revoked."""
    where = keys.c.revoked_at.is_(None) if living else None
    visible = mine(scope, admin=admin)
    return page_of(scope, keys, Key, mine=visible, where=where, after=after, limit=limit, ascending=ascending)


def revoke(scope: Scope, key_id: str, *, admin: bool = False, actor: str = "api") -> Key:
    """End a key's life, once; the project's last owner key stays."""
    take_turn(scope)
    key = get(scope, key_id, admin=admin)
    if key.revoked_at is not None:
        return key
    if key.role == "owner" and not other_owners(scope, key_id):
        raise last_owner()
    revoked = key.model_copy(update={"revoked_at": clock.seconds(scope)})
    scope.connection.execute(update(keys).where(keys.c.id == key_id).values(revoked_at=revoked.revoked_at))
    audit.record(scope, "key.revoked", key_id, actor=actor)
    return revoked


def expire(scope: Scope, key_id: str, *, seconds: int, actor: str) -> Key:
    """Have a living key end in so many seconds; the project's last owner key has no end."""
    take_turn(scope)
    key, now = living(scope, key_id), clock.seconds(scope)
    if key.is_expired(now):
        raise InvalidRequest("This key has expired. Create another one.", code="expired_api_key", param="id")
    if key.role == "owner" and not other_owners(scope, key_id):
        raise last_owner()
    scope.connection.execute(update(keys).where(keys.c.id == key_id).values(expires_at=now + seconds))
    audit.record(scope, "key.expires", key_id, actor=actor, detail={"seconds": seconds})
    return key.model_copy(update={"expires_at": now + seconds})


def take_turn(scope: Scope) -> None:
    """Two owners who revoke each other at the same moment wait here for one another."""
    scope.connection.execute(
        select(projects.c.id).where(projects.c.id == scope.project_id).with_for_update(key_share=True)
    )


def last_owner() -> InvalidRequest:
    """Somebody has to be able to make keys."""
    return InvalidRequest(
        "This is the project's last owner key. Create another owner key before you end this one.",
        code="last_owner",
    )


def other_owners(scope: Scope, key_id: str) -> bool:
    """Whether another key can do what an owner does, now and for good."""
    query = select(keys.c.id).where(
        keys.c.project_id == scope.project_id,
        keys.c.role == "owner",
        keys.c.id != key_id,
        keys.c.revoked_at.is_(None),
        keys.c.expires_at.is_(None),
    )
    return scope.connection.execute(query.limit(1)).first() is not None
