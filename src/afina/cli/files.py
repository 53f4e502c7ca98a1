"""`afina files`: what was uploaded, and what jobs left behind."""

import hashlib
import sys
import time
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, BinaryIO, Literal

import typer
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn

from afina.cli.client import connected
from afina.cli.output import (
    Json,
    Limit,
    ago,
    aside,
    console,
    emit,
    show_fields,
    show_table,
    size,
    span,
)

if TYPE_CHECKING:
    from openai import OpenAI
    from openai.types import FileObject

app = typer.Typer(help="Upload, list, read and delete files.", no_args_is_help=True)

Purpose = Literal["assistants", "batch", "fine-tune", "vision", "user_data", "evals"]
ONE_REQUEST = 512 * 2**20  # bytes; what is larger is sent in parts
PART = 64 * 2**20
FileId = Annotated[str, typer.Argument(help="A file's id: file-...", show_default=False)]


@app.command("upload")
def upload_command(
    path: Annotated[Path, typer.Argument(help="The file.", exists=True, dir_okay=False, show_default=False)],
    purpose: Annotated[Purpose, typer.Option(help="What it is for.")] = "fine-tune",
    json: Json = False,
) -> None:
    """Upload a file and print its id."""
    with connected() as client:
        file = upload(client, path, purpose)
    emit(file.to_dict()) if json else console().print(file.id)


def upload(client: "OpenAI", path: Path, purpose: Purpose = "fine-tune") -> "FileObject":
    """Send a file, showing how far it is on stderr."""
    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn())
    screen = aside()
    with (
        Progress(*columns, console=screen, transient=True, disable=not screen.is_terminal) as progress,
        progress.open(path, "rb", description=path.name) as file,
    ):
        if path.stat().st_size > ONE_REQUEST:
            return upload_parts(client, path, file, purpose)
        return client.files.create(file=(path.name, file), purpose=purpose)


def upload_parts(client: "OpenAI", path: Path, file: BinaryIO, purpose: Purpose) -> "FileObject":
    """Send a file that is too large for one request."""
    kind, length = "application/octet-stream", path.stat().st_size
    begun = client.uploads.create(bytes=length, filename=path.name, mime_type=kind, purpose=purpose)
    md5 = hashlib.md5(usedforsecurity=False)
    parts: list[str] = []
    while piece := file.read(PART):
        md5.update(piece)
        parts.append(client.uploads.parts.create(begun.id, data=piece).id)
    done = client.uploads.complete(begun.id, part_ids=parts, md5=md5.hexdigest())
    assert done.file is not None, "an upload that is completed has its file"
    return done.file


@app.command("list")
def list_files(
    purpose: Annotated[str | None, typer.Option(help="Only files of this purpose.")] = None,
    limit: Limit = 20,
    json: Json = False,
) -> None:
    """List files, newest first."""
    with connected() as client:
        from openai import omit

        page = client.files.list(purpose=purpose or omit, limit=min(limit, 10_000))
        found = list(islice(page, limit))
    if json:
        for file in found:
            emit(file.to_dict())
        return
    columns = ("ID", "NAME", "SIZE", "PURPOSE", "CREATED")
    show_table(columns, ((f.id, f.filename, size(f.bytes), f.purpose, ago(f.created_at)) for f in found))


@app.command("get")
def get_file(file_id: FileId, json: Json = False) -> None:
    """Show one file."""
    with connected() as client:
        file = client.files.retrieve(file_id)
    if json:
        return emit(file.to_dict())
    fields = (("id", file.id), ("name", file.filename), ("size", size(file.bytes)), ("purpose", file.purpose))
    expires = None if file.expires_at is None else f"in {span(file.expires_at - time.time())}"
    return show_fields((*fields, ("created", ago(file.created_at)), ("expires", expires)))


@app.command("content")
def file_content(
    file_id: FileId,
    output: Annotated[Path | None, typer.Option("--output", "-o", help="Write here, not to stdout.")] = None,
    csv: Annotated[bool, typer.Option("--csv", help="A job's result file as plain CSV.")] = False,
) -> None:
    """Write a file's bytes to stdout, or to a file."""
    headers = {"Accept": "text/csv"} if csv else {}
    with (
        connected() as client,
        client.files.with_streaming_response.content(file_id, extra_headers=headers) as reply,
    ):
        if output is not None:
            return reply.stream_to_file(output)
        for piece in reply.iter_bytes():
            sys.stdout.buffer.write(piece)
        sys.stdout.buffer.flush()


@app.command("delete")
def delete_file(file_id: FileId, json: Json = False) -> None:
    """Delete a file; refused while an unfinished job needs it."""
    with connected() as client:
        reply = client.files.delete(file_id)
    if json:
        return emit(reply.to_dict())
    console().print(f"deleted {reply.id}")
    traces = (reply.model_extra or {}).get("afina", {})
    for model in traces.get("models", []):
        aside().print(f"a model was trained on it, and stays: {model}")
    return None
