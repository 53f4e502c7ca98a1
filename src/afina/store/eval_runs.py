"""Runs of evals: their rows, and the one function that changes a run's status."""

from collections.abc import Mapping
from typing import TypedDict

from sqlalchemy import ColumnElement, select, update
from sqlalchemy import delete as delete_from
from sqlalchemy import insert as insert_into

from afina.errors import IllegalMove, InvalidRequest, NotFound, clipped
from afina.schemas.eval_runs import (
    FINAL,
    CriterionCounts,
    EvalError,
    EvalRun,
    ModelUsage,
    ResultCounts,
    RunStatus,
)
from afina.schemas.record import Page
from afina.store import audit, outbox, work
from afina.store.eval_tables import eval_items, eval_runs
from afina.store.pages import page as page_of
from afina.store.rows import columns, from_row, to_row
from afina.store.scope import Scope

KIND = "eval_run"
LEGAL: Mapping[RunStatus, frozenset[RunStatus]] = {
    "queued": frozenset({"in_progress", "failed", "canceled"}),
    "in_progress": frozenset({"completed", "failed", "canceled"}),
    "completed": frozenset(),
    "failed": frozenset(),
    "canceled": frozenset(),
}
TOLD: Mapping[RunStatus, str] = {"completed": "succeeded", "failed": "failed", "canceled": "canceled"}


class RunChanges(TypedDict, total=False):
    """What may change in a run beside its status."""

    error: EvalError
    result_counts: ResultCounts
    per_model_usage: list[ModelUsage]
    per_testing_criteria_results: list[CriterionCounts]


def insert(scope: Scope, run: EvalRun, *, actor: str = "api") -> EvalRun:
    """Add a run and ask for the work on it, unless it has ended elsewhere."""
    mine = run.model_copy(update={"project_id": scope.project_id})
    scope.connection.execute(insert_into(eval_runs).values(to_row(eval_runs, mine)))
    audit.record(scope, "eval.run.created", run.id, actor=actor, detail={"to": run.status})
    if run.status not in FINAL:
        work.enqueue(scope, run.id, KIND)
    return mine


def get(scope: Scope, eval_id: str, run_id: str, *, hold: bool = False) -> EvalRun:
    """One run of an eval; `hold` keeps others from changing it until the transaction ends."""
    run = find(scope, run_id, hold=hold)
    if run is None or run.eval_id != eval_id:
        raise NotFound(f"No eval run found with id '{clipped(run_id)}'.", param="run_id")
    return run


def find(scope: Scope, run_id: str, *, hold: bool = False) -> EvalRun | None:
    """One run of this project, whatever its eval."""
    query = select(eval_runs).where(one(scope, run_id))
    row = scope.connection.execute(query.with_for_update() if hold else query).one_or_none()
    return None if row is None else from_row(EvalRun, row)


def page(
    scope: Scope,
    eval_id: str,
    *,
    after: str | None = None,
    limit: int = 20,
    ascending: bool = True,
    status: RunStatus | None = None,
) -> Page[EvalRun]:
    """The runs of an eval, oldest first; those with a status where one is named."""
    mine = (eval_runs.c.project_id == scope.project_id) & (eval_runs.c.eval_id == eval_id)
    where = None if status is None else eval_runs.c.status == status
    return page_of(
        scope, eval_runs, EvalRun, mine=mine, where=where, after=after, limit=limit, ascending=ascending
    )


def going_on(scope: Scope) -> list[EvalRun]:
    """The project's runs that have not ended, oldest first."""
    mine = eval_runs.c.project_id == scope.project_id
    query = select(eval_runs).where(mine, eval_runs.c.status.not_in(sorted(FINAL)))
    return [from_row(EvalRun, row) for row in scope.connection.execute(query.order_by(eval_runs.c.seq))]


def cancel(scope: Scope, eval_id: str, run_id: str, *, actor: str = "api") -> EvalRun:
    """End a run that has not ended; the items that have a result keep it."""
    run = get(scope, eval_id, run_id, hold=True)
    if run.status == "canceled":
        return run
    if run.status in FINAL:
        raise InvalidRequest(f"Cannot cancel a run with status '{run.status}'.", code="invalid_state")
    return move(scope, run, "canceled", fence=None, actor=actor)


def move(
    scope: Scope,
    run: EvalRun,
    to: RunStatus,
    *,
    fence: int | None,
    changes: RunChanges | None = None,
    actor: str = "worker",
) -> EvalRun:
    """Change the status of a run that is held, and write with it its audit entry and, at the end, its webhook event.

    `fence` is the caller's hold on the work, FenceLost where it is not the living one; None is a user's wish,
    which outranks any holder: whatever that one still writes is refused.
    """
    if fence is not None:
        work.require(scope, run.id, fence)
    if to not in LEGAL[run.status]:
        raise IllegalMove(f"A run whose status is '{run.status}' cannot become '{to}'.", code="invalid_state")
    moved = write(scope, run, {"status": to, **(changes or {})})
    detail = {"from": run.status, "to": to, "fence": fence}
    audit.record(scope, "eval.run.moved", run.id, actor=actor, detail=detail)
    if to in FINAL:
        work.remove(scope, run.id)
        outbox.add(scope, f"eval.run.{TOLD[to]}", run.id)
    return moved


def write(scope: Scope, run: EvalRun, changes: Mapping[str, object]) -> EvalRun:
    """The run with `changes`, in its row and as returned."""
    statement = update(eval_runs).where(one(scope, run.id)).values(columns(eval_runs, changes))
    scope.connection.execute(statement)
    return run.model_copy(update=dict(changes))


def delete(scope: Scope, eval_id: str, run_id: str, *, actor: str = "api") -> None:
    """Remove a run with all its items; one that goes on is stopped."""
    get(scope, eval_id, run_id, hold=True)
    work.remove(scope, run_id)
    items = (eval_items.c.project_id == scope.project_id) & (eval_items.c.run_id == run_id)
    scope.connection.execute(delete_from(eval_items).where(items))
    scope.connection.execute(delete_from(eval_runs).where(one(scope, run_id)))
    audit.record(scope, "eval.run.deleted", run_id, actor=actor)


def one(scope: Scope, run_id: str) -> ColumnElement[bool]:
    """The row of a run of this project."""
    return (eval_runs.c.project_id == scope.project_id) & (eval_runs.c.id == run_id)


def held(scope: Scope, run_id: str, *, fence: int) -> EvalRun:
    """The run that a worker has claimed, kept from others; FenceLost where it was cancelled, deleted or taken over."""
    run = find(scope, run_id, hold=True)
    work.require(scope, run_id, fence)
    assert run is not None  # a run and the work on it are deleted together
    return run
