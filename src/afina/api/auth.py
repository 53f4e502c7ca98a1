"""Who is asking: a bearer key, looked up by its hash, and what its role may do."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Request

from afina.api.rooms import InRooms, Rooms
from afina.errors import AuthenticationError, InvalidRequest, NotFound, PermissionDenied
from afina.serving.meter import Payer, payer
from afina.store import clock, keys, projects
from afina.store.keys import Key, Role

NO_KEY = "You didn't provide an API key. Provide it in an Authorization header using Bearer auth."
WRONG_KEY = (
    "Incorrect API key provided. Create one with `afina keys create`, or ask the owner of the project."
)
LONGEST_KEY = 512
RANK: dict[Role, int] = {"viewer": 0, "member": 1, "owner": 2, "admin": 3}


@dataclass(frozen=True)
class Caller:
    """A valid key and the project it belongs to."""

    key_id: str
    role: Role
    project_id: str
    organization_id: str
    organization: str


def token(request: Request) -> str:
    """The bearer token of a request."""
    values = request.headers.getlist("authorization")
    if len(values) > 1:
        raise InvalidRequest("Send one Authorization header, not several.", code="invalid_header")
    scheme, _, value = (values[0] if values else "").partition(" ")
    if scheme.lower() != "bearer" or not value.strip():
        raise AuthenticationError(NO_KEY)
    return value.strip()


def identify(request: Request, rooms: InRooms) -> Caller:
    """The caller, from the request's key; 401 where there is none that is valid."""
    caller = caller_of(rooms, valid_key(rooms, token(request)))
    request.state.organization = caller.organization
    return caller


def valid_key(rooms: Rooms, secret: str) -> Key:
    """The key of a token that is neither revoked nor over."""
    if len(secret) > LONGEST_KEY:
        raise wrong_key()
    with rooms.database.system(read=True) as system:
        key = keys.find(system, secret)
        if key is None or key.revoked_at is not None:
            raise wrong_key()
        if key.is_expired(clock.seconds(system)):
            raise AuthenticationError("This API key has expired.", code="expired_api_key")
    return key


def caller_of(rooms: Rooms, key: Key) -> Caller:
    """The key with its project; the keys of an archived project are as good as revoked."""
    try:
        with rooms.database.read(key.project_id) as scope:
            organization = projects.organization(scope)
    except NotFound:
        raise wrong_key() from None
    return Caller(key.id, key.role, key.project_id, organization.id, organization.slug)


def wrong_key() -> AuthenticationError:
    """The same words for a key that never was and one that is no more."""
    return AuthenticationError(WRONG_KEY, code="invalid_api_key")


def at_least(role: Role) -> Callable[[Caller], Awaitable[Caller]]:
    """A dependency: the caller, whose role must be this one or a higher one."""

    async def check(caller: Annotated[Caller, Depends(identify)]) -> Caller:
        if RANK[caller.role] < RANK[role]:
            raise PermissionDenied(
                f"You have insufficient permissions for this operation. It needs the role '{role}', "
                f"and this key has the role '{caller.role}'."
            )
        payer.set(Payer(caller.project_id, caller.key_id))
        return caller

    return check


def administer(caller: Annotated[Caller, Depends(identify)], rooms: InRooms) -> Caller:
    """The caller, who may act for the whole organisation: an admin key, or an owner of its first project."""
    if caller.role == "admin":
        return caller
    with rooms.database.system(read=True) as system:
        first = projects.first(system, caller.organization_id)
    if caller.role != "owner" or caller.project_id != first.id:
        raise PermissionDenied(
            "You have insufficient permissions for this operation. It needs an admin key, "
            "or an owner's key of the organization's first project."
        )
    return caller


Admin = Annotated[Caller, Depends(administer)]
Viewer = Annotated[Caller, Depends(at_least("viewer"))]
Member = Annotated[Caller, Depends(at_least("member"))]
Owner = Annotated[Caller, Depends(at_least("owner"))]
