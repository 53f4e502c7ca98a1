"""Service accounts: programs that act for a project, each with keys of its own."""

from typing import Literal

from sqlalchemy import ColumnElement, and_, select, update
from sqlalchemy import insert as insert_into

from afina import ids
from afina.errors import NotFound, clipped
from afina.schemas.record import Page, Record, internal
from afina.store import audit, clock, keys
from afina.store.pages import page as page_of
from afina.store.rows import from_row, to_row
from afina.store.scope import Scope
from afina.store.tables import keys as key_table
from afina.store.tables import service_accounts as table

AccountRole = Literal["owner", "member", "none"]


class ServiceAccount(Record):
    """A program; its keys have its role, and one whose role is `none` has no key."""

    id: str
    object: Literal["organization.project.service_account"] = "organization.project.service_account"
    name: str
    role: AccountRole
    created_at: int
    project_id: str = internal("")


def insert(scope: Scope, *, name: str, role: AccountRole, actor: str) -> ServiceAccount:
    """A new service account of this project, without a key."""
    account = ServiceAccount(
        id=ids.prefixed("svc_acct_"),
        name=name,
        role=role,
        created_at=clock.seconds(scope),
        project_id=scope.project_id,
    )
    scope.connection.execute(insert_into(table).values(to_row(table, account)))
    audit.record(scope, "service_account.created", account.id, actor=actor, detail={"role": role})
    return account


def living(scope: Scope) -> ColumnElement[bool]:
    """The project's accounts that have not been deleted."""
    return and_(table.c.project_id == scope.project_id, table.c.deleted_at.is_(None))


def get(scope: Scope, account_id: str) -> ServiceAccount:
    """One of the project's service accounts."""
    row = scope.connection.execute(select(table).where(living(scope), table.c.id == account_id)).one_or_none()
    if row is None:
        raise NotFound(f"No such service account: {clipped(account_id)}", param="service_account_id")
    return from_row(ServiceAccount, row)


def page(
    scope: Scope, *, after: str | None = None, limit: int = 20, ascending: bool = False
) -> Page[ServiceAccount]:
    """The project's service accounts, newest first."""
    return page_of(
        scope, table, ServiceAccount, mine=living(scope), after=after, limit=limit, ascending=ascending
    )


def change(
    scope: Scope, account_id: str, *, name: str | None, role: AccountRole | None, actor: str
) -> ServiceAccount:
    """The account with another name or role; its keys get the role at once."""
    keys.take_turn(scope)
    account = get(scope, account_id)
    if role is not None and role != account.role:
        if account.role == "owner":
            refuse_last_owner(scope, account_id)
        scope.connection.execute(update(key_table).where(keys_of(scope, account_id)).values(role=role))
    fresh = {"name": name or account.name, "role": role or account.role}
    scope.connection.execute(update(table).where(living(scope), table.c.id == account_id).values(fresh))
    audit.record(scope, "service_account.changed", account_id, actor=actor, detail={"role": fresh["role"]})
    return account.model_copy(update=fresh)


def delete(scope: Scope, account_id: str, *, actor: str) -> None:
    """Take an account away with all of its keys."""
    keys.take_turn(scope)
    if get(scope, account_id).role == "owner":
        refuse_last_owner(scope, account_id)
    now = clock.seconds(scope)
    scope.connection.execute(update(key_table).where(keys_of(scope, account_id)).values(revoked_at=now))
    scope.connection.execute(
        update(table).where(living(scope), table.c.id == account_id).values(deleted_at=now)
    )
    audit.record(scope, "service_account.deleted", account_id, actor=actor)


def keys_of(scope: Scope, account_id: str) -> ColumnElement[bool]:
    """The account's keys that have not been revoked."""
    mine = key_table.c.project_id == scope.project_id
    return and_(mine, key_table.c.service_account_id == account_id, key_table.c.revoked_at.is_(None))


def refuse_last_owner(scope: Scope, account_id: str) -> None:
    """Raise unless the project has an owner's key that is not this account's."""
    others = select(key_table.c.id).where(
        key_table.c.project_id == scope.project_id,
        key_table.c.role == "owner",
        key_table.c.revoked_at.is_(None),
        key_table.c.expires_at.is_(None),
        key_table.c.service_account_id.is_distinct_from(account_id),
    )
    if scope.connection.execute(others.limit(1)).first() is None:
        raise keys.last_owner()
