"""Who is asking: a bearer key, looked up by its hash, and what its role may do."""

from collections.abc import Awaitable, Callable
from typing import Annotated

from fastapi import Depends, Request

from afina.api.callers import Caller
from afina.api.rooms import InRooms
from afina.errors import AuthenticationError, InvalidRequest, PermissionDenied
from afina.serving.meter import Payer, payer
from afina.store import projects
from afina.store.keys import Role

NO_KEY = "You didn't provide an API key. Provide it in an Authorization header using Bearer auth."
RANK: dict[Role, int] = {"viewer": 0, "member": 1, "owner": 2, "admin": 3}


def token(request: Request) -> str:
    """The bearer token of a request."""
    values = request.headers.getlist("authorization")
    if len(values) > 1:
        raise InvalidRequest("Send one Authorization header, not several.", code="invalid_header")
    scheme, _, value = (values[0] if values else "").partition(" ")
    if scheme.lower() != "bearer" or not value.strip():
        raise AuthenticationError(NO_KEY)
    return value.strip()


async def identify(request: Request, rooms: InRooms) -> Caller:
    """The caller, from the request's key; 401 where there is none that is valid."""
    caller = await rooms.callers.of(token(request))
    request.state.organization = caller.organization
    return caller


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
