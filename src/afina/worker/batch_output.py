"""A batch's results as files: one for what was answered, one for what was not."""

from collections.abc import Iterator

from afina import ids
from afina.blobs import Written
from afina.schemas.batches import Batch, BatchError, BatchResult, BatchStatus, RequestError
from afina.schemas.files import FileObject
from afina.store import batches, clock, files
from afina.store.batches import BatchChanges
from afina.store.scope import Scope
from afina.worker.batch_input import requests
from afina.worker.context import Context, Hold

ROWS = 200  # of results at a time: a reply may be long
EXPIRED = RequestError(
    code="batch_expired", message="This request could not be executed before the completion window expired."
)


def publish(context: Context, hold: Hold, batch: Batch, *, end: BatchStatus) -> None:
    """Write the files, then in one transaction their rows and the batch's last status."""
    output = write(context, lines(context, batch, good=True))
    error = write(context, failures(context, batch, expired=end == "expired"))
    claim = hold.claim
    with context.database.scope(claim.project_id) as scope:
        changes: BatchChanges = {
            "output_file_id": insert(scope, batch, output, name="output"),
            "error_file_id": insert(scope, batch, error, name="error"),
        }
        if end == "expired":
            total = batch.request_counts.total
            failed = total - batch.request_counts.completed
            changes["request_counts"] = batch.request_counts.model_copy(update={"failed": failed})
        batches.move(scope, batch.id, end, fence=claim.fence, changes=changes)


def lines(context: Context, batch: Batch, *, good: bool) -> Iterator[bytes]:
    """Results in the order of their requests."""
    last = 0
    while True:
        with context.database.read(batch.project_id) as scope:
            found = batches.results(scope, batch.id, good=good, after=last, limit=ROWS)
        yield from (text.encode() + b"\n" for _, text in found)
        if len(found) < ROWS:
            return
        last = found[-1][0]


def failures(context: Context, batch: Batch, *, expired: bool) -> Iterator[bytes]:
    """What was refused, and behind it what was never asked because the time was over."""
    yield from lines(context, batch, good=False)
    if not expired:
        return
    with context.database.read(batch.project_id) as scope:
        answered = batches.answered(scope, batch.id)
    for found in requests(context, batch):
        if not isinstance(found, BatchError) and found.line not in answered:
            name = found.request.custom_id
            late = BatchResult(id=ids.prefixed("batch_req_"), custom_id=name, response=None, error=EXPIRED)
            yield late.model_dump_json().encode() + b"\n"


def write(context: Context, content: Iterator[bytes]) -> tuple[str, Written] | None:
    """A file's id and bytes; None where there is nothing to write."""
    first = next(content, None)
    if first is None:
        return None
    id = ids.file_id()
    with context.blobs.writer(f"files/{id}") as writer:
        writer.write(first)
        for line in content:
            writer.write(line)
        return id, writer.commit()


def insert(scope: Scope, batch: Batch, written: tuple[str, Written] | None, *, name: str) -> str | None:
    """The row of a file; its id."""
    if written is None:
        return None
    id, content = written
    now = clock.seconds(scope)
    file = FileObject(
        id=id,
        bytes=content.bytes,
        created_at=now,
        expires_at=batch.output_expires_after and now + batch.output_expires_after,
        filename=f"{batch.id}_{name}.jsonl",
        purpose="batch_output",
        sha256=content.sha256,
    )
    return files.insert(scope, file, actor="worker").id
