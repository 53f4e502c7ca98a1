"""`/v1/fine_tuning/alpha/graders`: try a grader on one sample, or hear what is wrong with it."""

from typing import Annotated

from fastapi import APIRouter, Depends, Request
from fastapi.concurrency import run_in_threadpool

from afina.api.auth import Member
from afina.api.body import Body, json_body
from afina.api.callers import Caller
from afina.api.rooms import InRooms, Rooms
from afina.api.routes import ThreadedRoute
from afina.api.streams import while_there
from afina.graders.check import check, parts
from afina.graders.grade import Means, grade, reply, require, sample_of
from afina.schemas.graders import (
    Grader,
    GraderRun,
    LabelModelGrader,
    RunGrader,
    ScoreModelGrader,
    ValidatedGrader,
    ValidateGrader,
)
from afina.serving.judging import asking, embedding

router = APIRouter(prefix="/fine_tuning/alpha/graders", route_class=ThreadedRoute)


@router.post("/run")
async def run(
    request: Request,
    caller: Member,
    rooms: InRooms,
    body: Annotated[Body[RunGrader], Depends(json_body(RunGrader))],
) -> GraderRun:
    """Grade one sample; what goes wrong in grading is told by flags, beside a reward of 0."""
    asked = body.value
    await run_in_threadpool(admit, asked.grader, caller, rooms)
    means = Means(asking(rooms.router, caller.project_id), rooms.sandbox, embedding(rooms.router))
    found = await while_there(
        request, grade(asked.grader, sample_of(asked.model_sample), asked.item or {}, means=means)
    )
    return reply(asked.grader, found)


@router.post("/validate")
def validate(
    caller: Member,
    rooms: InRooms,
    body: Annotated[Body[ValidateGrader], Depends(json_body(ValidateGrader))],
) -> ValidatedGrader:
    """The grader itself, when it is right and this server can run it."""
    admit(body.value.grader, caller, rooms)
    return ValidatedGrader(grader=body.value.grader)


def admit(grader: Grader, caller: Caller, rooms: Rooms, *, param: str = "grader") -> None:
    """A grader that is right, that can run here, and whose models are this project's; `param` stands for it."""
    check(grader, param)
    require(grader, encoder=bool(rooms.settings.encoder))
    for part, _ in parts(grader, "grader"):
        if isinstance(part, ScoreModelGrader | LabelModelGrader):
            rooms.router.find(caller.project_id, part.model)
