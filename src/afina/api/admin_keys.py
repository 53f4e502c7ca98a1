"""`/v1/organization/admin_api_keys`: keys that act for the whole organisation, kept with its first project."""

from collections.abc import Generator
from contextlib import contextmanager
from typing import Annotated

from fastapi import APIRouter, Depends, Response

from afina.api import attempts
from afina.api.attempts import Again
from afina.api.auth import Admin, Caller
from afina.api.body import Body, json_body
from afina.api.queries import After, Limit, Order
from afina.api.rooms import InRooms, Rooms
from afina.api.routes import ThreadedRoute
from afina.schemas.admin import AdminKey, CreateAdminKey, NewAdminKey
from afina.schemas.record import Deleted, Page
from afina.store import clock, keys, projects
from afina.store.keys import Key
from afina.store.scope import Scope

router = APIRouter(prefix="/organization/admin_api_keys", route_class=ThreadedRoute)


@contextmanager
def first_project(rooms: Rooms, caller: Caller, *, read: bool = False) -> Generator[Scope]:
    """A transaction where the organisation's keys are kept."""
    with rooms.database.system(read=True) as system:
        first = projects.first(system, caller.organization_id)
    open_scope = rooms.database.read if read else rooms.database.scope
    with open_scope(first.id) as scope:
        yield scope


def shown(key: Key) -> AdminKey:
    """An admin key as the wire has it."""
    return AdminKey(
        id=key.id,
        name=key.name,
        redacted_value=key.redacted,
        created_at=key.created_at,
        expires_at=key.expires_at,
    )


@router.post("")
def create(
    *,
    caller: Admin,
    rooms: InRooms,
    response: Response,
    again: Again,
    body: Annotated[Body[CreateAdminKey], Depends(json_body(CreateAdminKey))],
) -> NewAdminKey:
    """Make a key of the organisation."""
    asked, attempt = body.value, again.attempt("organization.admin_api_keys", body.sha256)

    def show(key: Key, secret: str) -> NewAdminKey:
        return NewAdminKey(**dict(shown(key)), value=secret)

    with first_project(rooms, caller) as scope:

        def make(secret: str) -> Key:
            lifetime = asked.expires_in_seconds
            expires_at = None if lifetime is None else clock.seconds(scope) + lifetime
            return keys.insert(
                scope, secret, name=asked.name, role="admin", expires_at=expires_at, actor=caller.key_id
            )

        return attempts.once_with_secret(scope, attempt, response, again=again, make=make, show=show)


@router.get("")
def page(
    *,
    caller: Admin,
    rooms: InRooms,
    limit: Limit,
    after: After = None,
    order: Order = "desc",
) -> Page[AdminKey]:
    """The organisation's keys that have not been deleted, newest first."""
    with first_project(rooms, caller, read=True) as scope:
        found = keys.page(scope, after=after, limit=limit, admin=True, living=True, ascending=order == "asc")
    return Page[AdminKey].model_validate({**dict(found), "data": [shown(key) for key in found.data]})


@router.get("/{key_id}")
def retrieve(key_id: str, caller: Admin, rooms: InRooms) -> AdminKey:
    """One of the organisation's keys."""
    with first_project(rooms, caller, read=True) as scope:
        return shown(keys.living(scope, key_id, admin=True))


@router.delete("/{key_id}")
def delete(key_id: str, caller: Admin, rooms: InRooms) -> Deleted:
    """End an admin key's life at once; owners of the first project can still make others."""
    with first_project(rooms, caller) as scope:
        keys.living(scope, key_id, admin=True)
        keys.revoke(scope, key_id, admin=True, actor=caller.key_id)
    return Deleted(id=key_id, object="organization.admin_api_key.deleted")
