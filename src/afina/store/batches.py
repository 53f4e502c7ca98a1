"""Batches: their rows, the results of their requests, and the one function that changes a batch's status."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypedDict

from sqlalchemy import ColumnElement, select, update
from sqlalchemy import delete as delete_from
from sqlalchemy import insert as insert_into

from afina.errors import IllegalMove, InvalidRequest, NotFound, clipped
from afina.schemas.batches import (
    FINAL,
    Batch,
    BatchErrors,
    BatchResult,
    BatchStatus,
    RequestCounts,
)
from afina.schemas.record import Page
from afina.schemas.tokens import TokenUsage
from afina.store import audit, clock, files, outbox, work
from afina.store.pages import page as page_of
from afina.store.rows import columns, from_row, to_row
from afina.store.scope import Scope
from afina.store.upload_tables import batch_results, batches

LEGAL: Mapping[BatchStatus, frozenset[BatchStatus]] = {
    "validating": frozenset({"in_progress", "failed", "cancelling"}),
    "in_progress": frozenset({"finalizing", "failed", "cancelling"}),
    "finalizing": frozenset({"completed", "expired", "failed"}),
    "cancelling": frozenset({"cancelled"}),
    "completed": frozenset(),
    "failed": frozenset(),
    "expired": frozenset(),
    "cancelled": frozenset(),
}


class BatchChanges(TypedDict, total=False):
    """What may change in a batch beside its status and its moments."""

    model: str | None
    errors: BatchErrors | None
    output_file_id: str | None
    error_file_id: str | None
    request_counts: RequestCounts


@dataclass(frozen=True)
class Result:
    """The result of the request on a line of the input file; lines count from 1."""

    line: int
    result: BatchResult
    usage: TokenUsage = field(default_factory=TokenUsage)


def insert(scope: Scope, batch: Batch, *, actor: str = "api") -> Batch:
    """Add a batch and ask for the work on it; its file is held meanwhile, so that nobody deletes it."""
    file = files.find(scope, batch.input_file_id, share=True)
    if file is None:
        raise InvalidRequest(
            f"No such File object: {clipped(batch.input_file_id)}",
            param="input_file_id",
            code="invalid_value",
        )
    if file.purpose != "batch":
        raise InvalidRequest(
            "Invalid file purpose: the input file of a batch has to be uploaded with the purpose 'batch'.",
            param="input_file_id",
            code="invalid_file_purpose",
        )
    mine = batch.model_copy(update={"project_id": scope.project_id})
    scope.connection.execute(insert_into(batches).values(to_row(batches, mine)))
    audit.record(scope, "batch.created", batch.id, actor=actor, detail={"to": batch.status})
    work.enqueue(scope, batch.id, "batch")
    return mine


def get(scope: Scope, batch_id: str, *, hold: bool = False) -> Batch:
    """One batch of this project; `hold` keeps others from changing it until the transaction ends."""
    query = select(batches).where(batches.c.project_id == scope.project_id, batches.c.id == batch_id)
    row = scope.connection.execute(query.with_for_update() if hold else query).one_or_none()
    if row is None:
        raise NotFound(f"No batch found with id '{clipped(batch_id)}'.", param="batch_id")
    return from_row(Batch, row)


def page(scope: Scope, *, after: str | None = None, limit: int = 20) -> Page[Batch]:
    """The project's batches, newest first."""
    mine = batches.c.project_id == scope.project_id
    return page_of(scope, batches, Batch, mine=mine, after=after, limit=limit)


def cancel(scope: Scope, batch_id: str, *, actor: str = "api") -> Batch:
    """Ask for the end of a batch: what was answered until then becomes its output."""
    batch = get(scope, batch_id, hold=True)
    if batch.status in ("cancelling", "cancelled"):
        return batch
    if "cancelling" not in LEGAL[batch.status]:
        raise InvalidRequest(f"Cannot cancel a batch with status '{batch.status}'.", code="invalid_state")
    return move(scope, batch_id, "cancelling", fence=None, actor=actor)


def going_on(scope: Scope) -> list[str]:
    """The ids of the project's batches that have not ended, oldest first."""
    mine = batches.c.project_id == scope.project_id
    query = select(batches.c.id).where(mine, batches.c.status.not_in(sorted(FINAL))).order_by(batches.c.seq)
    return list(scope.connection.execute(query).scalars())


def abandon(scope: Scope, batch_id: str, *, actor: str) -> None:
    """End a batch at once: nobody will write its files."""
    status = get(scope, batch_id, hold=True).status
    if "cancelling" in LEGAL[status]:
        status = move(scope, batch_id, "cancelling", fence=None, actor=actor).status
    end: BatchStatus = "cancelled" if status == "cancelling" else "failed"
    move(scope, batch_id, end, fence=None, actor=actor)


def move(
    scope: Scope,
    batch_id: str,
    to: BatchStatus,
    *,
    fence: int | None,
    changes: BatchChanges | None = None,
    actor: str = "worker",
) -> Batch:
    """Change a batch's status, and with it write its moment, its audit entry and, at the end, its webhook event.

    `fence` is the caller's hold on the work, FenceLost where it is not the living one; None is a user's wish.
    """
    batch = get(scope, batch_id, hold=True)
    if fence is not None:
        work.require(scope, batch_id, fence)
    if to not in LEGAL[batch.status]:
        raise IllegalMove(
            f"A batch whose status is '{batch.status}' cannot become '{to}'.", code="invalid_state"
        )
    moved = write(scope, batch, {"status": to, f"{to}_at": clock.seconds(scope), **(changes or {})})
    audit.record(
        scope, "batch.moved", batch_id, actor=actor, detail={"from": batch.status, "to": to, "fence": fence}
    )
    if to in FINAL:
        scope.connection.execute(delete_from(batch_results).where(batch_results.c.batch_id == batch_id))
        work.remove(scope, batch_id)
        outbox.add(scope, f"batch.{to}", batch_id)
    return moved


def write(scope: Scope, batch: Batch, changes: Mapping[str, object]) -> Batch:
    """The batch with `changes`, in its row and as returned."""
    statement = update(batches).where(batches.c.id == batch.id).values(columns(batches, changes))
    scope.connection.execute(statement)
    return batch.model_copy(update=dict(changes))


def add_results(scope: Scope, batch_id: str, results: Sequence[Result], *, fence: int) -> Batch:
    """Keep what requests were answered with, and count it."""
    batch = get(scope, batch_id, hold=True)
    work.require(scope, batch_id, fence)
    if not results:
        return batch
    rows = [
        {
            "batch_id": batch_id,
            "line": found.line,
            "project_id": scope.project_id,
            "good": found.result.good,
            "result": found.result.model_dump_json(),
        }
        for found in results
    ]
    scope.connection.execute(insert_into(batch_results), rows)
    good = sum(found.result.good for found in results)
    counts = batch.request_counts
    counted = RequestCounts(
        total=counts.total, completed=counts.completed + good, failed=counts.failed + len(results) - good
    )
    work.came_further(scope, batch_id, fence)
    usage = total([batch.usage, *(found.usage for found in results)])
    return write(scope, batch, {"request_counts": counted, "usage": usage})


def total(usages: Sequence[TokenUsage]) -> TokenUsage:
    """All tokens together."""
    cached = sum(usage.input_tokens_details.cached_tokens for usage in usages)
    reasoning = sum(usage.output_tokens_details.reasoning_tokens for usage in usages)
    return TokenUsage.model_validate(
        {
            "input_tokens": sum(usage.input_tokens for usage in usages),
            "input_tokens_details": {"cached_tokens": cached},
            "output_tokens": sum(usage.output_tokens for usage in usages),
            "output_tokens_details": {"reasoning_tokens": reasoning},
            "total_tokens": sum(usage.total_tokens for usage in usages),
        }
    )


def answered(scope: Scope, batch_id: str) -> set[int]:
    """The lines that have a result."""
    return set(scope.connection.execute(select(batch_results.c.line).where(of(scope, batch_id))).scalars())


def results(scope: Scope, batch_id: str, *, good: bool, after: int = 0, limit: int) -> list[tuple[int, str]]:
    """Lines behind `after` and their results as JSON, in order."""
    query = select(batch_results.c.line, batch_results.c.result).where(
        of(scope, batch_id), batch_results.c.good == good, batch_results.c.line > after
    )
    found = scope.connection.execute(query.order_by(batch_results.c.line).limit(limit))
    return [(row.line, row.result) for row in found]


def of(scope: Scope, batch_id: str) -> ColumnElement[bool]:
    """The results of one of this project's batches."""
    return (batch_results.c.project_id == scope.project_id) & (batch_results.c.batch_id == batch_id)
