"""`/v1/afina/scores`: how likely a model finds the assistant's words of conversations that it is given."""

from typing import Annotated

from fastapi import APIRouter, Depends, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import JSONResponse

from afina.api.auth import Member
from afina.api.body import Body, json_body
from afina.api.chat import warning
from afina.api.rooms import InRooms
from afina.api.routes import ThreadedRoute
from afina.api.streams import while_there
from afina.schemas.scores import CreateScores

router = APIRouter(prefix="/afina/scores", route_class=ThreadedRoute)


@router.post("", response_model=None)
async def create(
    request: Request,
    caller: Member,
    rooms: InRooms,
    body: Annotated[Body[CreateScores], Depends(json_body(CreateScores))],
) -> JSONResponse:
    """Score up to 64 conversations; nothing is generated."""
    target = await run_in_threadpool(rooms.router.find, caller.project_id, body.value.model)
    reply = await while_there(request, rooms.router.scores(target, body.value))
    return JSONResponse(reply.wire(), headers=warning(target))
