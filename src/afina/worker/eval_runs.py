"""A run's life: its items are gathered, answered and graded; one that is taken up again goes on where it was."""

import asyncio
from collections.abc import Iterator
from itertools import islice

from afina.errors import DataError
from afina.schemas.eval_runs import EvalError, EvalRun
from afina.schemas.evals import Eval
from afina.store import eval_items, eval_runs, evals
from afina.worker import attempts, eval_rows
from afina.worker.context import Context, Hold
from afina.worker.eval_items import go_through
from afina.worker.eval_rows import Found

WRITTEN_AT_ONCE = 500
BROKEN = "The run could not be finished because of an internal error; the worker's log has the traceback."


def work_through(context: Context, hold: Hold) -> None:
    """See a run through from where it stands: to its end, or until it is put down and taken up again later."""
    eval, run = current(context, hold)
    if run.status == "queued":
        run = begin(context, hold, eval, run)
    if run.status == "in_progress":
        asyncio.run(go_through(context, hold, eval, run))
        end(context, hold)


def current(context: Context, hold: Hold) -> tuple[Eval, EvalRun]:
    """The run as it is now, and what it is a run of."""
    claim = hold.claim
    with context.database.scope(claim.project_id) as scope:
        run = eval_runs.held(scope, claim.subject, fence=claim.fence)
        return evals.get(scope, run.eval_id), run


def begin(context: Context, hold: Hold, eval: Eval, run: EvalRun) -> EvalRun:
    """Write down all items, so that nobody who deletes or adds data changes the run; or fail for them."""
    claim = hold.claim
    try:
        total = gather(context, hold, run, eval_rows.found(context, eval, run))
    except DataError as error:
        return fail(context, hold, EvalError(code=error.code or "", message=error.message))
    with context.database.scope(claim.project_id) as scope:
        run = eval_runs.held(scope, claim.subject, fence=claim.fence)
        counts = run.result_counts.model_copy(update={"total": total})
        return eval_runs.move(scope, run, "in_progress", fence=claim.fence, changes={"result_counts": counts})


def gather(context: Context, hold: Hold, run: EvalRun, found: Iterator[Found]) -> int:
    """Make items into rows, in place of those that an attempt which broke off has left; how many there are."""
    claim, total = hold.claim, 0
    with context.database.scope(claim.project_id) as scope:
        eval_runs.held(scope, run.id, fence=claim.fence)
        eval_items.clear(scope, run.id)
    while some := list(islice(found, WRITTEN_AT_ONCE)):
        with context.database.scope(claim.project_id) as scope:
            eval_runs.held(scope, run.id, fence=claim.fence)
            eval_items.add(scope, run.eval_id, run.id, some, first=total)
        total += len(some)
    return total


def end(context: Context, hold: Hold) -> None:
    """Every item has its result, or only this worker is ending."""
    claim = hold.claim
    with context.database.scope(claim.project_id) as scope:
        run = eval_runs.held(scope, claim.subject, fence=claim.fence)
        if not run.result_counts.open:
            eval_runs.move(scope, run, "completed", fence=claim.fence)
            return
    attempts.put_back(context, hold, failed=0)


def fail(context: Context, hold: Hold, error: EvalError) -> EvalRun:
    """The run has failed; items that it had gathered and not looked at go."""
    claim = hold.claim
    with context.database.scope(claim.project_id) as scope:
        run = eval_runs.held(scope, claim.subject, fence=claim.fence)
        if run.status == "queued":
            eval_items.clear(scope, run.id)
        return eval_runs.move(scope, run, "failed", fence=claim.fence, changes={"error": error})


def give_up(context: Context, hold: Hold) -> None:
    """The work on the run broke again and again."""
    fail(context, hold, EvalError(code="server_error", message=BROKEN))
