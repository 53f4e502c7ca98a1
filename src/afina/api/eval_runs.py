"""`/v1/evals/{eval_id}/runs`: create, list, retrieve, cancel, delete, and the items of a run."""

from typing import Annotated, Literal

from fastapi import APIRouter, Depends, Query, Request, Response

from afina import ids
from afina.api import attempts
from afina.api.attempts import Again
from afina.api.auth import Member, Viewer
from afina.api.body import Body, json_body
from afina.api.callers import Caller
from afina.api.evals import UNNAMED
from afina.api.queries import After, Order, limited
from afina.api.rooms import InRooms, Rooms
from afina.api.routes import ThreadedRoute
from afina.errors import InvalidRequest, clipped
from afina.evals.data_sources import check_source
from afina.schemas.eval_runs import (
    CreateRun,
    CriterionCounts,
    DataSource,
    EvalRun,
    FileId,
    JsonlSource,
    OutputItem,
    RunStatus,
)
from afina.schemas.evals import RunDeleted
from afina.schemas.record import Page
from afina.store import clock, eval_items, eval_runs, evals, files
from afina.store.scope import Scope

router = APIRouter(prefix="/evals/{eval_id}/runs", route_class=ThreadedRoute)


def with_report(run: EvalRun, request: Request) -> EvalRun:
    """The run with the address at which it is shown, as the client came here: as JSON, to who has a key."""
    url = f"{request.base_url}v1/evals/{run.eval_id}/runs/{run.id}"
    return run.model_copy(update={"report_url": url})


@router.post("")
def create(
    *,
    eval_id: str,
    caller: Member,
    rooms: InRooms,
    request: Request,
    response: Response,
    again: Again,
    body: Annotated[Body[CreateRun], Depends(json_body(CreateRun))],
) -> EvalRun:
    """Write down what is wanted: the run and the work on it, in one transaction."""
    asked = body.value
    model = model_of(asked.data_source, caller, rooms)
    with rooms.database.read(caller.project_id) as scope:
        eval = evals.get(scope, eval_id)
    check_source(
        asked.data_source, eval
    )  # takes its time, while others may write; an eval's form never changes

    def make(scope: Scope) -> tuple[str, EvalRun]:
        evals.get(scope, eval_id, lock="share")
        check_file(scope, asked.data_source)
        run = EvalRun(
            id=ids.prefixed("evalrun_"),
            eval_id=eval.id,
            created_at=clock.seconds(scope),
            name=asked.name or model or UNNAMED,
            model=model,
            data_source=asked.data_source,
            per_testing_criteria_results=[
                CriterionCounts(testing_criteria=criterion.name) for criterion in eval.testing_criteria
            ],
            metadata=asked.metadata,
        )
        return run.id, eval_runs.insert(scope, run, actor=caller.key_id)

    def find(scope: Scope, run_id: str) -> EvalRun:
        return eval_runs.get(scope, eval_id, run_id)

    with rooms.database.scope(caller.project_id) as scope:
        attempt = again.attempt(f"evals/{eval_id}/runs", body.sha256)
        return with_report(attempts.once(scope, attempt, response, find=find, make=make), request)


def model_of(source: DataSource, caller: Caller, rooms: Rooms) -> str:
    """The model that answers, which has to be there; none where items bring their samples along."""
    if isinstance(source, JsonlSource) or source.model is None:
        return ""
    rooms.router.find(caller.project_id, source.model)
    return source.model


def check_file(scope: Scope, source: DataSource) -> None:
    """A file of rows is there, and was meant for this."""
    if not isinstance(source.source, FileId):
        return
    file = files.find(scope, source.source.id)
    if file is None:
        raise InvalidRequest(
            f"No such File object: {clipped(source.source.id)}",
            param="data_source.source.id",
            code="invalid_value",
        )
    if file.purpose != "evals":
        raise InvalidRequest(
            "Invalid file purpose: the rows of an eval run have to be uploaded with the purpose 'evals'.",
            param="data_source.source.id",
            code="invalid_file_purpose",
        )


@router.get("")
def page(
    *,
    eval_id: str,
    caller: Viewer,
    rooms: InRooms,
    request: Request,
    limit: Annotated[int, Depends(limited(20, 100))],
    after: After = None,
    order: Order = "asc",
    status: Annotated[RunStatus | None, Query()] = None,
) -> Page[EvalRun]:
    """The runs of an eval, oldest first."""
    with rooms.database.read(caller.project_id) as scope:
        evals.get(scope, eval_id)
        found = eval_runs.page(
            scope, eval_id, after=after, limit=limit, ascending=order == "asc", status=status
        )
    return found.model_copy(update={"data": [with_report(run, request) for run in found.data]})


@router.get("/{run_id}")
def retrieve(*, eval_id: str, run_id: str, caller: Viewer, rooms: InRooms, request: Request) -> EvalRun:
    """One run."""
    with rooms.database.read(caller.project_id) as scope:
        return with_report(eval_runs.get(scope, eval_id, run_id), request)


@router.post("/{run_id}/cancel")
def cancel(*, eval_id: str, run_id: str, caller: Member, rooms: InRooms, request: Request) -> EvalRun:
    """End a run that has not ended; whatever its worker still writes is refused from here on."""
    with rooms.database.scope(caller.project_id) as scope:
        return with_report(eval_runs.cancel(scope, eval_id, run_id, actor=caller.key_id), request)


@router.delete("/{run_id}")
def delete(eval_id: str, run_id: str, caller: Member, rooms: InRooms) -> RunDeleted:
    """Forget a run and its items."""
    with rooms.database.scope(caller.project_id) as scope:
        eval_runs.delete(scope, eval_id, run_id, actor=caller.key_id)
    return RunDeleted(run_id=run_id)


@router.get("/{run_id}/output_items")
def page_items(
    *,
    eval_id: str,
    run_id: str,
    caller: Viewer,
    rooms: InRooms,
    limit: Annotated[int, Depends(limited(20, 100))],
    after: After = None,
    order: Order = "asc",
    status: Annotated[Literal["fail", "pass", "error"] | None, Query()] = None,
) -> Page[OutputItem]:
    """The items of a run that have their results, in the order of the data."""
    with rooms.database.read(caller.project_id) as scope:
        eval_runs.get(scope, eval_id, run_id)
        return eval_items.page(
            scope, run_id, after=after, limit=limit, ascending=order == "asc", status=status
        )


@router.get("/{run_id}/output_items/{output_item_id}")
def retrieve_item(
    *, eval_id: str, run_id: str, output_item_id: str, caller: Viewer, rooms: InRooms
) -> OutputItem:
    """One item of a run that has its result."""
    with rooms.database.read(caller.project_id) as scope:
        eval_runs.get(scope, eval_id, run_id)
        return eval_items.get(scope, run_id, output_item_id)
