"""The body of a form: its file goes to a blob while it arrives."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from fastapi import Request
from fastapi.concurrency import run_in_threadpool

from afina.api.body import check_encoding, receive
from afina.api.multipart import Expected, Form
from afina.blobs import Blobs, Writer, Written


@dataclass(frozen=True)
class Received:
    """A form that has arrived, and its file, which is a blob as soon as somebody keeps it."""

    form: Form
    writer: Writer

    async def keep(self) -> Written:
        """Make the file's bytes durable."""
        return await run_in_threadpool(self.writer.commit)


@asynccontextmanager
async def received(
    request: Request, blobs: Blobs, blob: str, *, expected: Expected
) -> AsyncGenerator[Received]:
    """Take a form in; what is not kept within the context leaves nothing behind."""
    check_encoding(request, "multipart/form-data")
    with blobs.writer(blob) as writer:
        form = Form(request.headers.get("content-type", ""), writer.write, expected=expected)

        async def take(chunk: bytes) -> None:
            await run_in_threadpool(form.feed, chunk)

        await receive(request, take)
        form.finish()
        yield Received(form, writer)
