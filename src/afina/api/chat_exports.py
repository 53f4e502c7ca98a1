"""`/v1/afina/chat_exports`: stored chats as a training file, so that a model can learn what another one answered."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated

from fastapi import APIRouter, Depends

from afina import ids
from afina.api.auth import Caller, Member
from afina.api.body import Body, json_body
from afina.api.rooms import InRooms, Rooms
from afina.blobs import Written
from afina.data import chat_format
from afina.data.strict_json import JsonObject
from afina.errors import InvalidRequest
from afina.schemas.files import FileObject
from afina.schemas.stored_chats import ChatExport, ExportChats, LeftOut, StoredChat
from afina.store import chats, clock, files

router = APIRouter(prefix="/afina/chat_exports")

AT_ONCE = 100
ANSWERED = {"content", "refusal", "tool_calls", "function_call"}


@router.post("")
def create(
    caller: Member, rooms: InRooms, body: Annotated[Body[ExportChats], Depends(json_body(ExportChats))]
) -> ChatExport:
    """Write the chosen chats as examples, oldest first, into a new file of the project."""
    identifier = ids.file_id()
    count = Count()
    with rooms.blobs.writer(f"files/{identifier}") as writer:
        for line in count.lines(every(rooms, caller, body.value)):
            writer.write(line)
            if writer.bytes > rooms.settings.max_file_bytes:
                raise too_much(f"they make a file of more than {rooms.settings.max_file_bytes} bytes")
        if not count.examples:
            raise too_little(count)
        written = writer.commit()
    file = keep(rooms, caller, file_of(identifier, written, body.value.filename))
    left_out = LeftOut(cut_short=count.cut_short, unfit=count.unfit)
    return ChatExport(file=file, examples=count.examples, left_out=left_out)


def every(rooms: Rooms, caller: Caller, asked: ExportChats) -> Iterator[StoredChat]:
    """The chosen chats, oldest first; no transaction is held while their file is written."""
    after, more = None, True
    while more:
        with rooms.database.read(caller.project_id) as scope:
            page = chats.page(scope, after=after, limit=AT_ONCE, model=asked.model, metadata=asked.metadata)
        yield from page.data
        after, more = page.last_id, page.has_more


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


def file_of(identifier: str, written: Written, filename: str) -> FileObject:
    """The file's object, but for its time."""
    return FileObject(
        id=identifier,
        bytes=written.bytes,
        created_at=0,
        filename=filename,
        purpose="fine-tune",
        sha256=written.sha256,
    )


def keep(rooms: Rooms, caller: Caller, file: FileObject) -> FileObject:
    """Make the file visible, now that its bytes are durable."""
    with rooms.database.scope(caller.project_id) as scope:
        dated = file.model_copy(update={"created_at": clock.seconds(scope)})
        return files.insert(scope, dated, actor=caller.key_id)


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
