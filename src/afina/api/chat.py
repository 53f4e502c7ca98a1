"""`/v1/chat/completions`: a whole reply, or a stream of events. Who leaves early stops the generation."""

from typing import Annotated

from fastapi import APIRouter, Depends, Request, Response
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import JSONResponse

from afina.api.attempts import REPLAYED, Again
from afina.api.auth import Member
from afina.api.body import Body, json_body
from afina.api.rooms import InRooms
from afina.api.routes import ThreadedRoute
from afina.api.streams import streamed, while_there
from afina.schemas.chat import CreateChatCompletion
from afina.serving.names import Target
from afina.serving.stored_chats import keep, keeping, kept_before

router = APIRouter(prefix="/chat/completions", route_class=ThreadedRoute)


@router.post("", response_model=None)
async def create(
    *,
    request: Request,
    caller: Member,
    rooms: InRooms,
    again: Again,
    body: Annotated[Body[CreateChatCompletion], Depends(json_body(CreateChatCompletion))],
) -> Response:
    """Answer a conversation; the reply carries the name that was asked for."""
    asked, attempt = body.value, again.attempt("chat.completions", body.sha256)
    if asked.store and not asked.stream and attempt.again:
        known = await run_in_threadpool(kept_before, rooms.database, caller.project_id, attempt)
        if known is not None:
            return JSONResponse(known.wire(), headers=REPLAYED)
    target = await run_in_threadpool(rooms.router.find, caller.project_id, asked.model)
    headers = warning(target)
    if not asked.stream:
        reply = await while_there(request, rooms.router.complete(target, asked))
        reply = await keep(rooms.database, caller.project_id, asked, reply, attempt=attempt)
        return JSONResponse(reply.wire(), headers=headers)
    chunks = rooms.router.stream(target, asked)
    chunks = keeping(rooms.database, caller.project_id, asked, chunks)
    return await streamed(request, chunks, usage=asked.wants_usage, headers=headers)


def warning(target: Target, *more: str) -> dict[str, str]:
    """The header that says which model stands in, and whatever else is not as asked."""
    remarks = [remark for remark in (target.warning, *more) if remark]
    if not remarks:
        return {}
    plain = "".join(letter if " " <= letter <= "~" else "?" for letter in "; ".join(remarks))
    return {"x-afina-warning": plain}
