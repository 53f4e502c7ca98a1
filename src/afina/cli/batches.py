"""`afina batches`: many requests in a file, answered in their own time."""

from itertools import islice
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from afina.cli.client import connected
from afina.cli.jobs import Pair, file_id, named
from afina.cli.output import Json, Limit, ago, aside, console, emit, show_fields, show_table

if TYPE_CHECKING:
    from openai.types import Batch

app = typer.Typer(help="Have many requests answered, and cancel that.", no_args_is_help=True)

Endpoint = Literal[
    "/v1/chat/completions", "/v1/completions", "/v1/responses", "/v1/embeddings", "/v1/moderations"
]
BatchId = Annotated[str, typer.Argument(help="A batch's id: batch_...", show_default=False)]


@app.command("create")
def create_batch(
    requests: Annotated[str, typer.Argument(help="A file's id, or a path to upload.", show_default=False)],
    *,
    endpoint: Annotated[Endpoint, typer.Option(help="What answers them.")] = "/v1/chat/completions",
    metadata: Pair = None,
    json: Json = False,
) -> None:
    """Have the requests in a file answered."""
    with connected() as client:
        batch = client.batches.create(
            input_file_id=file_id(client, requests, "batch"),
            endpoint=endpoint,
            completion_window="24h",
            metadata=named(metadata) or None,
        )
    if json:
        return emit(batch.to_dict())
    console().print(batch.id)
    return aside().print(f"see how far it is with: afina batches get {batch.id}")


@app.command("list")
def list_batches(limit: Limit = 20, json: Json = False) -> None:
    """List batches, newest first."""
    with connected() as client:
        found = list(islice(client.batches.list(limit=min(limit, 100)), limit))
    if json:
        for batch in found:
            emit(batch.to_dict())
        return
    rows = ((b.id, b.status, b.endpoint, progress(b), ago(b.created_at)) for b in found)
    show_table(("ID", "STATUS", "ENDPOINT", "REQUESTS", "CREATED"), rows)


def progress(batch: "Batch") -> str:
    """How many requests are behind it: `12 of 40, 1 failed`."""
    counts = batch.request_counts
    if counts is None or not counts.total:
        return ""
    failed = f", {counts.failed} failed" if counts.failed else ""
    return f"{counts.completed + counts.failed} of {counts.total}{failed}"


@app.command("get")
def get_batch(batch_id: BatchId, json: Json = False) -> None:
    """Show one batch; its files are read with `afina files content`."""
    with connected() as client:
        batch = client.batches.retrieve(batch_id)
    if json:
        return emit(batch.to_dict())
    errors = (batch.errors and batch.errors.data) or []
    fields: tuple[tuple[str, object], ...] = (
        ("id", batch.id),
        ("status", batch.status),
        ("endpoint", batch.endpoint),
        ("model", batch.model),
        ("requests", progress(batch) or None),
        ("input file", batch.input_file_id),
        ("output file", batch.output_file_id),
        ("error file", batch.error_file_id),
        ("tokens", batch.usage and batch.usage.total_tokens),
        ("created", ago(batch.created_at)),
    )
    told = (("error", f"line {e.line}: {e.message}" if e.line else e.message) for e in errors)
    return show_fields((*fields, *told))


@app.command("cancel")
def cancel_batch(batch_id: BatchId, json: Json = False) -> None:
    """Cancel a batch; what was answered by then is kept."""
    with connected() as client:
        batch = client.batches.cancel(batch_id)
    emit(batch.to_dict()) if json else console().print(f"{batch.status} {batch.id}")
