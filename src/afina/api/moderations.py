"""`/v1/moderations`: whether texts may be harmful."""

from typing import Annotated

from fastapi import APIRouter, Depends

from afina.api.auth import Member
from afina.api.body import Body, json_body
from afina.api.rooms import InRooms
from afina.api.routes import ThreadedRoute
from afina.schemas.moderations import CreateModeration, ModerationList
from afina.serving import moderations

router = APIRouter(prefix="/moderations", route_class=ThreadedRoute)


@router.post("")
async def create(
    caller: Member,
    rooms: InRooms,
    body: Annotated[Body[CreateModeration], Depends(json_body(CreateModeration))],
) -> ModerationList:
    """A judgement for each input."""
    return await moderations.moderate(rooms.router, body.value)
