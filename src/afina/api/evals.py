"""`/v1/evals`: create, list, retrieve, update, delete."""

from typing import Annotated, Literal

from fastapi import APIRouter, Depends, Query, Response

from afina import ids
from afina.api import attempts
from afina.api.attempts import Again
from afina.api.auth import Member, Viewer
from afina.api.body import Body, json_body
from afina.api.callers import Caller
from afina.api.graders import admit
from afina.api.queries import After, Order, limited
from afina.api.rooms import InRooms, Rooms
from afina.api.routes import ThreadedRoute
from afina.evals.item_schema import refuse_unreadable
from afina.schemas.evals import CreateEval, CustomItems, Eval, EvalDeleted, UpdateEval, source_of
from afina.schemas.record import Page
from afina.store import clock, evals
from afina.store.scope import Scope

router = APIRouter(prefix="/evals", route_class=ThreadedRoute)

UNNAMED = "Untitled"


@router.post("")
def create(
    *,
    caller: Member,
    rooms: InRooms,
    response: Response,
    again: Again,
    body: Annotated[Body[CreateEval], Depends(json_body(CreateEval))],
) -> Eval:
    """Write down what is asked of answers; all of it has to be something that this server can compute."""
    asked = body.value
    check(asked, caller, rooms)

    def make(scope: Scope) -> tuple[str, Eval]:
        made = Eval(
            id=ids.prefixed("eval_"),
            created_at=clock.seconds(scope),
            name=asked.name or UNNAMED,
            data_source_config=source_of(asked.data_source_config),
            testing_criteria=asked.testing_criteria,
            metadata=asked.metadata,
        )
        return made.id, evals.insert(scope, made, actor=caller.key_id)

    with rooms.database.scope(caller.project_id) as scope:
        attempt = again.attempt("evals", body.sha256)
        return attempts.once(scope, attempt, response, find=evals.get, make=make)


def check(asked: CreateEval, caller: Caller, rooms: Rooms) -> None:
    """400 or 404 for what could never be computed: a form, a template, a source, a model."""
    if isinstance(asked.data_source_config, CustomItems):
        refuse_unreadable(asked.data_source_config.item_schema, "data_source_config.item_schema")
    for place, criterion in enumerate(asked.testing_criteria):
        admit(criterion, caller, rooms, param=f"testing_criteria[{place}]")


@router.get("")
def page(
    *,
    caller: Viewer,
    rooms: InRooms,
    limit: Annotated[int, Depends(limited(20, 100))],
    after: After = None,
    order: Order = "asc",
    order_by: Annotated[Literal["created_at", "updated_at"], Query()] = "created_at",
) -> Page[Eval]:
    """The project's evals, oldest first."""
    with rooms.database.read(caller.project_id) as scope:
        return evals.page(
            scope, after=after, limit=limit, ascending=order == "asc", by_update=order_by == "updated_at"
        )


@router.get("/{eval_id}")
def retrieve(eval_id: str, caller: Viewer, rooms: InRooms) -> Eval:
    """One eval."""
    with rooms.database.read(caller.project_id) as scope:
        return evals.get(scope, eval_id)


@router.post("/{eval_id}")
def update(
    eval_id: str,
    caller: Member,
    rooms: InRooms,
    body: Annotated[Body[UpdateEval], Depends(json_body(UpdateEval))],
) -> Eval:
    """Another name, other metadata: what is asked stays, so that runs can be compared."""
    asked = body.value
    changes = asked.model_dump(include=asked.model_fields_set)
    if "name" in changes:
        changes["name"] = asked.name or UNNAMED
    with rooms.database.scope(caller.project_id) as scope:
        return evals.change(scope, eval_id, changes)


@router.delete("/{eval_id}")
def delete(eval_id: str, caller: Member, rooms: InRooms) -> EvalDeleted:
    """Forget an eval and all its runs."""
    with rooms.database.scope(caller.project_id) as scope:
        evals.delete(scope, eval_id, actor=caller.key_id)
    return EvalDeleted(eval_id=eval_id)
