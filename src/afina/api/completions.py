"""`/v1/completions`, the legacy way: prompts go on, whole or as a stream of events."""

from typing import Annotated

from fastapi import APIRouter, Depends, Request, Response
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import JSONResponse

from afina.api.auth import Member
from afina.api.body import Body, json_body
from afina.api.chat import warning
from afina.api.rooms import InRooms
from afina.api.routes import ThreadedRoute
from afina.api.streams import streamed, while_there
from afina.schemas.text_completions import CreateCompletion
from afina.serving.texts import WITHOUT_SUFFIX

router = APIRouter(prefix="/completions", route_class=ThreadedRoute)


@router.post("", response_model=None)
async def create(
    request: Request,
    caller: Member,
    rooms: InRooms,
    body: Annotated[Body[CreateCompletion], Depends(json_body(CreateCompletion))],
) -> Response:
    """Continue one prompt or several, each `n` times."""
    asked = body.value
    target = await run_in_threadpool(rooms.router.find, caller.project_id, asked.model)
    headers = warning(target, WITHOUT_SUFFIX if asked.suffix else "")
    if not asked.stream:
        reply = await while_there(request, rooms.router.complete_text(target, asked))
        return JSONResponse(reply.wire(), headers=headers)
    pieces = rooms.router.stream_text(target, asked)
    return await streamed(request, pieces, usage=asked.wants_usage, headers=headers)
