"""A batch's life: its file is checked, its requests are answered, their results become files."""

import asyncio
from collections.abc import Iterator

from afina.schemas.batches import Batch, BatchError, BatchErrors, BatchStatus, RequestCounts
from afina.store import batches, clock
from afina.store.batches import BatchChanges
from afina.worker import attempts, batch_input, batch_output, batch_requests
from afina.worker.batch_input import Numbered
from afina.worker.context import Context, Hold


def work_through(context: Context, hold: Hold) -> None:
    """See a batch through from where it stands: to its end, or until it is put down and taken up again later."""
    batch = current(context, hold)
    if batch.status == "validating":
        check(context, hold, batch)
        batch = current(context, hold)
    if batch.status == "in_progress":
        asyncio.run(batch_requests.answer(context, hold, batch, open_requests(context, batch)))
        batch = settled(context, hold)
    if batch.status == "in_progress":
        attempts.put_back(context, hold, failed=0)
    elif batch.status in ("finalizing", "cancelling"):
        batch_output.publish(context, hold, batch, end=end_of(batch))


def current(context: Context, hold: Hold) -> Batch:
    """The batch as it is now."""
    with context.database.read(hold.claim.project_id) as scope:
        return batches.get(scope, hold.claim.subject)


def check(context: Context, hold: Hold, batch: Batch) -> None:
    """The batch moves on, or fails with what is wrong with its file; one that is being cancelled stays so."""
    found = batch_input.check(context, batch)
    fence = hold.claim.fence
    with context.database.scope(hold.claim.project_id) as scope:
        if batches.get(scope, batch.id, hold=True).status != "validating":
            return
        if found.errors:
            errors = BatchErrors(data=found.errors)
            batches.move(scope, batch.id, "failed", fence=fence, changes={"errors": errors})
        else:
            changes: BatchChanges = {
                "model": found.model,
                "request_counts": RequestCounts(total=found.total),
            }
            batches.move(scope, batch.id, "in_progress", fence=fence, changes=changes)


def open_requests(context: Context, batch: Batch) -> Iterator[Numbered]:
    """The requests that have no result yet."""
    with context.database.read(batch.project_id) as scope:
        answered = batches.answered(scope, batch.id)
    for found in batch_input.requests(context, batch):
        if isinstance(found, Numbered) and found.line not in answered:
            yield found


def settled(context: Context, hold: Hold) -> Batch:
    """The batch once no more requests are answered; it stays in progress where only this worker is ending."""
    claim = hold.claim
    with context.database.scope(claim.project_id) as scope:
        batch = batches.get(scope, claim.subject, hold=True)
        over = not batch.request_counts.open or clock.seconds(scope) >= batch.expires_at
        if batch.status == "in_progress" and (over or not context.draining.is_set()):
            return batches.move(scope, batch.id, "finalizing", fence=claim.fence)
    return batch


def end_of(batch: Batch) -> BatchStatus:
    """What a batch becomes once its files are written."""
    if batch.status == "cancelling":
        return "cancelled"
    return "expired" if batch.request_counts.open else "completed"


def give_up(context: Context, hold: Hold) -> None:
    """The work on the batch broke again and again."""
    text = "The batch could not be finished because of an internal error; the worker's log has the traceback."
    errors = BatchErrors(data=[BatchError(code="server_error", message=text)])
    claim = hold.claim
    with context.database.scope(claim.project_id) as scope:
        cancelling = batches.get(scope, claim.subject, hold=True).status == "cancelling"
        end: BatchStatus = "cancelled" if cancelling else "failed"
        batches.move(scope, claim.subject, end, fence=claim.fence, changes={"errors": errors})
