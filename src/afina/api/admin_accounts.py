"""`/v1/organization/projects/{id}/service_accounts`: programs that act for a project, and their keys."""

from typing import Annotated

from fastapi import APIRouter, Depends, Response

from afina.api import attempts
from afina.api.admin_projects import inside
from afina.api.attempts import Again
from afina.api.auth import Admin
from afina.api.body import Body, json_body
from afina.api.queries import After, Limit
from afina.api.rooms import InRooms
from afina.api.routes import ThreadedRoute
from afina.errors import InvalidRequest
from afina.schemas.admin import (
    AccountKey,
    CreateAccountKey,
    CreateServiceAccount,
    NewServiceAccount,
    UpdateServiceAccount,
)
from afina.schemas.record import Deleted, Page
from afina.store import clock, keys, service_accounts
from afina.store.keys import Key
from afina.store.scope import Scope
from afina.store.service_accounts import ServiceAccount

router = APIRouter(prefix="/organization/projects/{project_id}/service_accounts", route_class=ThreadedRoute)


@router.post("")
def create(
    *,
    project_id: str,
    caller: Admin,
    rooms: InRooms,
    response: Response,
    again: Again,
    body: Annotated[Body[CreateServiceAccount], Depends(json_body(CreateServiceAccount))],
) -> NewServiceAccount:
    """A member of the project with its first key; or the account alone, which may do nothing yet."""
    asked = body.value
    alone = bool(asked.create_service_account_only)
    attempt = again.attempt("service_accounts", body.sha256)
    if alone and asked.expires_in_seconds is not None:
        raise InvalidRequest(
            "Invalid 'expires_in_seconds': there is no key where only the account is asked for.",
            param="expires_in_seconds",
            code="invalid_value",
        )
    with inside(rooms, caller, project_id) as scope:

        def make_alone(scope: Scope) -> tuple[str, ServiceAccount]:
            account = service_accounts.insert(scope, name=asked.name, role="none", actor=caller.key_id)
            return account.id, account

        def make(secret: str) -> Key:
            account = service_accounts.insert(scope, name=asked.name, role="member", actor=caller.key_id)
            first = CreateAccountKey(expires_in_seconds=asked.expires_in_seconds)
            return new_key(scope, account, first, secret=secret, actor=caller.key_id)

        def show(key: Key, secret: str) -> NewServiceAccount:
            account = service_accounts.get(scope, key.service_account_id or "")
            return shown(account, with_secret(key, secret))

        if alone:
            found = attempts.once(scope, attempt, response, find=service_accounts.get, make=make_alone)
            return shown(found, None)
        return attempts.once_with_secret(scope, attempt, response, again=again, make=make, show=show)


def shown(account: ServiceAccount, key: AccountKey | None) -> NewServiceAccount:
    """An account as it is shown when it is made."""
    return NewServiceAccount(
        id=account.id, name=account.name, role=account.role, created_at=account.created_at, api_key=key
    )


def with_secret(key: Key, secret: str) -> AccountKey:
    """A key as it is shown when it is made."""
    return AccountKey(
        id=key.id, name=key.name, value=secret, created_at=key.created_at, expires_at=key.expires_at
    )


def new_key(
    scope: Scope, account: ServiceAccount, asked: CreateAccountKey, *, secret: str, actor: str
) -> Key:
    """One more key of an account."""
    if account.role == "none":
        raise InvalidRequest(
            "This service account has no role in the project. Give it one before it gets a key.",
            code="invalid_state",
        )
    lifetime = asked.expires_in_seconds
    return keys.insert(
        scope,
        secret,
        name=asked.name,
        role=account.role,
        expires_at=None if lifetime is None else clock.seconds(scope) + lifetime,
        service_account_id=account.id,
        actor=actor,
    )


@router.get("")
def page(
    *,
    project_id: str,
    caller: Admin,
    rooms: InRooms,
    limit: Limit,
    after: After = None,
) -> Page[ServiceAccount]:
    """The project's service accounts, newest first."""
    with inside(rooms, caller, project_id, read=True) as scope:
        return service_accounts.page(scope, after=after, limit=limit)


@router.get("/{account_id}")
def retrieve(project_id: str, account_id: str, caller: Admin, rooms: InRooms) -> ServiceAccount:
    """One service account."""
    with inside(rooms, caller, project_id, read=True) as scope:
        return service_accounts.get(scope, account_id)


@router.post("/{account_id}")
def change(
    *,
    project_id: str,
    account_id: str,
    caller: Admin,
    rooms: InRooms,
    body: Annotated[Body[UpdateServiceAccount], Depends(json_body(UpdateServiceAccount))],
) -> ServiceAccount:
    """Give a service account another name or role; its keys follow at once."""
    with inside(rooms, caller, project_id) as scope:
        return service_accounts.change(
            scope, account_id, name=body.value.name, role=body.value.role, actor=caller.key_id
        )


@router.delete("/{account_id}")
def delete(project_id: str, account_id: str, caller: Admin, rooms: InRooms) -> Deleted:
    """Take a service account away with all of its keys."""
    with inside(rooms, caller, project_id) as scope:
        service_accounts.delete(scope, account_id, actor=caller.key_id)
    return Deleted(id=account_id, object="organization.project.service_account.deleted")


@router.post("/{account_id}/api_keys")
def create_key(
    *,
    project_id: str,
    account_id: str,
    caller: Admin,
    rooms: InRooms,
    response: Response,
    again: Again,
    body: Annotated[Body[CreateAccountKey], Depends(json_body(CreateAccountKey))],
) -> AccountKey:
    """One more key of a service account."""
    attempt = again.attempt(f"service_accounts.api_keys {account_id}", body.sha256)
    with inside(rooms, caller, project_id) as scope:
        keys.take_turn(scope)  # an account that is being deleted, or gets another role, gets no key meanwhile
        account = service_accounts.get(scope, account_id)

        def make(secret: str) -> Key:
            return new_key(scope, account, body.value, secret=secret, actor=caller.key_id)

        return attempts.once_with_secret(scope, attempt, response, again=again, make=make, show=with_secret)
