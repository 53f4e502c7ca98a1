"""`/v1/afina/chat_exports`: stored chats as a training file, so that a model can learn what another one answered."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated

from fastapi import APIRouter, Depends, Response

from afina import ids
from afina.api import attempts
from afina.api.attempts import Again
from afina.api.auth import Member
from afina.api.body import Body, json_body
from afina.api.callers import Caller
from afina.api.rooms import InRooms, Rooms
from afina.api.routes import ThreadedRoute
from afina.api.upload_form import NewFile, basename
from afina.blobs import Written
from afina.data import chat_format
from afina.data.strict_json import JsonObject
from afina.errors import InvalidRequest, NotFound, Unavailable
from afina.schemas.stored_chats import ChatExport, ExportChats, LeftOut, StoredChat
from afina.store import chats, clock, files, idempotency
from afina.store.idempotency import Made
from afina.store.scope import Scope

router = APIRouter(prefix="/afina/chat_exports", route_class=ThreadedRoute)

AT_ONCE = 100
ANSWERED = {"content", "refusal", "tool_calls", "function_call"}


@router.post("")
def create(
    *,
    caller: Member,
    rooms: InRooms,
    response: Response,
    again: Again,
    body: Annotated[Body[ExportChats], Depends(json_body(ExportChats))],
) -> ChatExport:
    """Write the chosen chats as examples, oldest first, into a new file of the project."""
    attempt = again.attempt("chat_exports", body.sha256)
    if attempt.again:
        with rooms.database.scope(caller.project_id) as scope:
            if (known := attempts.replayed(scope, attempt, response)) is not None:
                return export_of(scope, known)
    identifier = ids.file_id()
    new = NewFile(basename(body.value.filename, param="filename"), "fine-tune", expires_after=None)
    written, count = write(rooms, caller, body.value, blob=f"files/{identifier}")
    with rooms.database.scope(caller.project_id) as scope:  # its bytes are durable: it may be seen
        known = attempts.replayed(scope, attempt, response)
        if known is None:
            file = new.file(identifier, written, now=clock.seconds(scope))
            known = Made(files.insert(scope, file, actor=caller.key_id).id, vars(count))
            idempotency.remember(scope, attempt, known.object_id, detail=known.detail)
        export = export_of(scope, known)
    if export.file.id != identifier:  # an equal attempt was quicker
        rooms.blobs.delete(f"files/{identifier}")
    return export


def export_of(scope: Scope, made: Made) -> ChatExport:
    """An export as it was answered when it was made."""
    count = Count(**{name: int(str(number)) for name, number in made.detail.items()})
    left_out = LeftOut(cut_short=count.cut_short, unfit=count.unfit)
    return ChatExport(file=files.get(scope, made.object_id), examples=count.examples, left_out=left_out)


def write(rooms: Rooms, caller: Caller, asked: ExportChats, *, blob: str) -> tuple[Written, "Count"]:
    """The chosen chats as the lines of a blob."""
    count = Count()
    with rooms.blobs.writer(blob) as writer:
        for line in count.lines(every(rooms, caller, asked)):
            writer.write(line)
            if writer.bytes > rooms.settings.max_file_bytes:
                raise too_much(f"they make a file of more than {rooms.settings.max_file_bytes} bytes")
        if not count.examples:
            raise too_little(count)
        return writer.commit(), count


def every(rooms: Rooms, caller: Caller, asked: ExportChats) -> Iterator[StoredChat]:
    """The chosen chats, oldest first; no transaction is held while their file is written."""
    after, more = None, True
    while more:
        with rooms.database.read(caller.project_id) as scope:
            if after is not None:
                check_there(scope, after)
            page = chats.page(scope, after=after, limit=AT_ONCE, model=asked.model, metadata=asked.metadata)
        yield from page.data
        after, more = page.last_id, page.has_more


def check_there(scope: Scope, chat_id: str) -> None:
    """Behind a chat that has been deleted meanwhile no others would be found."""
    try:
        chats.get(scope, chat_id)
    except NotFound:
        message = "A stored chat was deleted while this export read them; try again."
        raise Unavailable(message, code="chats_changed") from None


@dataclass
class Count:
    """How many chats became examples, and why others did not."""

    examples: int = 0
    cut_short: int = 0
    unfit: int = 0

    def lines(self, found: Iterator[StoredChat]) -> Iterator[bytes]:
        """A line of JSON for each chat that is a good example."""
        for chat in found:
            row = example(chat)
            if chat.completion.choices[0].finish_reason == "length":
                self.cut_short += 1
            elif any(not fault.warning for fault in chat_format.check(row)):
                self.unfit += 1
            else:
                self.examples += 1
                yield json.dumps(row, ensure_ascii=False).encode() + b"\n"


def example(chat: StoredChat) -> JsonObject:
    """A chat as a row of a training file: its first reply is what is learnt.

    What the assistant said before came with the request; where it was a reply, it is an example of its own.
    """
    said = [{**message, "weight": 0} if message["role"] == "assistant" else message for message in chat.said]
    message = chat.completion.choices[0].message
    reply = message.model_dump(mode="json", include=ANSWERED, exclude_none=True)
    row: JsonObject = {"messages": [*said, {"role": "assistant", **reply}]}
    tools = chat.request.get("tools")
    if isinstance(tools, list) and (shown := [tool for tool in tools if is_function(tool)]):
        row["tools"] = shown
    for name in ("functions", "parallel_tool_calls"):
        if chat.request.get(name) is not None:
            row[name] = chat.request[name]
    return row


def is_function(tool: object) -> bool:
    """Whether the model was told of a tool."""
    return isinstance(tool, dict) and "function" in tool


def too_much(why: str) -> InvalidRequest:
    """More than one file may hold."""
    return InvalidRequest(
        f"These chats cannot be one file: {why}. Choose fewer by 'model' or 'metadata'.", code="invalid_value"
    )


def too_little(count: Count) -> InvalidRequest:
    """Nothing to learn from."""
    why = f" ({count.cut_short} cut short, {count.unfit} that training would refuse)"
    left_out = why if count.cut_short or count.unfit else ""
    return InvalidRequest(
        f"No stored chat is an example{left_out}. Only chats made with 'store' are kept; choose others by "
        "'model' or 'metadata'.",
        code="no_examples",
    )
