"""`/v1/afina/keys`: a project's API keys. A secret is shown when it is made, and never again."""

from typing import Annotated

from fastapi import APIRouter, Depends, Response

from afina.api import attempts
from afina.api.attempts import Again
from afina.api.auth import Owner
from afina.api.body import Body, json_body
from afina.api.queries import After, Limit
from afina.api.rooms import InRooms
from afina.api.routes import ThreadedRoute
from afina.schemas.keys import CreateKey
from afina.schemas.record import Deleted, Page
from afina.store import clock, keys
from afina.store.keys import Key

router = APIRouter(prefix="/afina/keys", route_class=ThreadedRoute)


class NewKey(Key):
    """A key with the secret that nobody will see again."""

    secret: str


@router.post("")
def create(
    *,
    caller: Owner,
    rooms: InRooms,
    response: Response,
    again: Again,
    body: Annotated[Body[CreateKey], Depends(json_body(CreateKey))],
) -> NewKey:
    """Make a key of this project."""
    asked, attempt = body.value, again.attempt("keys", body.sha256)

    def show(key: Key, secret: str) -> NewKey:
        return NewKey(**dict(key), secret=secret)

    with rooms.database.scope(caller.project_id) as scope:

        def make(secret: str) -> Key:
            expires_at = None if asked.expires_after is None else clock.seconds(scope) + asked.expires_after
            return keys.insert(
                scope, secret, name=asked.name, role=asked.role, expires_at=expires_at, actor=caller.key_id
            )

        return attempts.once_with_secret(scope, attempt, response, again=again, make=make, show=show)


@router.get("")
def page(caller: Owner, rooms: InRooms, limit: Limit, after: After = None) -> Page[Key]:
    """The project's keys, newest first, revoked ones too."""
    with rooms.database.read(caller.project_id) as scope:
        return keys.page(scope, after=after, limit=limit)


@router.delete("/{key_id}")
def revoke(key_id: str, caller: Owner, rooms: InRooms) -> Deleted:
    """End a key's life at once; the last owner's key stays."""
    with rooms.database.scope(caller.project_id) as scope:
        key = keys.revoke(scope, key_id, actor=caller.key_id)
    return Deleted(id=key.id, object="key")
