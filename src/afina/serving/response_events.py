"""A response as the events of its stream, while it is made or long after."""

from collections.abc import Iterator, Mapping, Sequence
from itertools import islice

from afina import ids
from afina.errors import AfinaError
from afina.schemas.chat_replies import FinishReason, TokenLogprob, ToolCall
from afina.schemas.response_items import FunctionCallItem, MessageItem, OutputItem, OutputText, Status
from afina.schemas.response_replies import (
    FINAL,
    Cut,
    IncompleteDetails,
    Response,
    ResponseError,
    ResponseEvent,
    ResponseUsage,
    StoredResponse,
)


class ResponseWriter:
    """Makes the events, and from them the response. What is written in the same pieces has the same events.

    `names` are the ids of its items, where they have been given before.
    """

    def __init__(self, response: Response, names: Sequence[str] = ()):
        self.response = response
        self.names = iter(names)
        self.number = 0
        self.output: list[OutputItem] = []
        self.item: OutputItem | None = None  # the one that is being written
        self.text: list[str] = []
        self.logprobs: list[TokenLogprob] = []
        self.cuts: list[Cut] = []

    def begin(self) -> Iterator[ResponseEvent]:
        """Before anything is written."""
        yield self.event(ResponseEvent(type="response.created", response=self.response))
        yield self.event(ResponseEvent(type="response.in_progress", response=self.response))

    def write(self, text: str, logprobs: Sequence[TokenLogprob] = ()) -> Iterator[ResponseEvent]:
        """More text, in the message that is being written or in a new one."""
        if not text and not logprobs:
            return
        if not isinstance(self.item, MessageItem):
            yield from self.open_message()
        self.text.append(text)
        self.logprobs += logprobs
        self.cuts.append(Cut(text=len(text), logprobs=len(logprobs)))
        yield self.of_text(
            ResponseEvent(type="response.output_text.delta", delta=text, logprobs=list(logprobs))
        )

    def open_message(self) -> Iterator[ResponseEvent]:
        """A new message, without text yet."""
        yield from self.close()
        self.text, self.logprobs = [], []
        self.item = MessageItem(id=self.name("msg_"), status="in_progress", role="assistant", content=[])
        yield self.of_item(ResponseEvent(type="response.output_item.added", item=self.item))
        yield self.of_text(
            ResponseEvent(type="response.content_part.added", part=OutputText(text="", logprobs=[]))
        )

    def write_call(self, call: ToolCall) -> Iterator[ResponseEvent]:
        """A call, which comes whole."""
        yield from self.close()
        function = call.function
        blank = FunctionCallItem(
            id=self.name("fc_"), status="in_progress", call_id=call.id, name=function.name, arguments=""
        )
        self.item = blank.model_copy(update={"arguments": function.arguments})
        self.cuts.append(Cut())
        yield self.of_item(ResponseEvent(type="response.output_item.added", item=blank))
        yield self.of_item(
            ResponseEvent(
                type="response.function_call_arguments.delta", item_id=blank.id, delta=function.arguments
            )
        )

    def close(self, status: Status = "completed") -> Iterator[ResponseEvent]:
        """The end of the item that is being written, if there is one."""
        if self.item is None:
            return
        if isinstance(self.item, FunctionCallItem):
            done: OutputItem = self.item.model_copy(update={"status": status})
            yield self.of_item(
                ResponseEvent(
                    type="response.function_call_arguments.done",
                    item_id=self.item.id,
                    name=self.item.name,
                    arguments=self.item.arguments,
                )
            )
        else:
            part = OutputText(text="".join(self.text), logprobs=self.logprobs)
            done = self.item.model_copy(update={"status": status, "content": [part]})
            yield self.of_text(
                ResponseEvent(type="response.output_text.done", text=part.text, logprobs=self.logprobs)
            )
            yield self.of_text(ResponseEvent(type="response.content_part.done", part=part))
        yield self.of_item(ResponseEvent(type="response.output_item.done", item=done))
        self.output.append(done)
        self.item = None

    def end(self, finish: FinishReason, usage: ResponseUsage | None, *, now: int) -> Iterator[ResponseEvent]:
        """The reply is whole; an empty one is an empty message."""
        if self.item is None and not self.output:
            yield from self.open_message()
        cut = finish == "length"
        yield from self.close("incomplete" if cut else "completed")
        ended = {
            "status": "incomplete" if cut else "completed",
            "completed_at": None if cut else now,
            "incomplete_details": IncompleteDetails() if cut else None,
            "usage": usage,
        }
        yield self.last(ended)

    def fail(self, error: AfinaError) -> Iterator[ResponseEvent]:
        """It cannot be finished; what has been written stays."""
        yield from self.close("incomplete")
        yield self.last({"status": "failed", "error": ResponseError(message=error.message)})

    def last(self, ended: Mapping[str, object]) -> ResponseEvent:
        """The event with the whole response."""
        self.response = self.response.model_copy(update={**ended, "output": self.output})
        return self.event(ResponseEvent(type=f"response.{self.response.status}", response=self.response))

    def name(self, prefix: str) -> str:
        """The id of a new item."""
        return next(self.names, None) or ids.prefixed(prefix)

    def of_text(self, event: ResponseEvent) -> ResponseEvent:
        """An event of the message that is being written, which has one part."""
        assert self.item is not None
        return self.of_item(event.model_copy(update={"item_id": self.item.id, "content_index": 0}))

    def of_item(self, event: ResponseEvent) -> ResponseEvent:
        """An event of the item that is being written."""
        return self.event(event.model_copy(update={"output_index": len(self.output)}))

    def event(self, event: ResponseEvent) -> ResponseEvent:
        """The next event."""
        self.number += 1
        return event.model_copy(update={"sequence_number": self.number - 1})


def replay(stored: StoredResponse) -> Iterator[ResponseEvent]:
    """The events of a stored response, numbered as they were; of one that is not final, the first ones."""
    whole = stored.response
    blank: dict[str, object] = {
        "status": "in_progress",
        "output": [],
        "usage": None,
        "completed_at": None,
        "incomplete_details": None,
        "error": None,
    }
    writer = ResponseWriter(whole.model_copy(update=blank), [item.id or "" for item in whole.output])
    yield from writer.begin()
    if whole.status not in FINAL:
        return
    yield from written_again(writer, stored)
    if whole.status in ("completed", "incomplete"):
        finish: FinishReason = "length" if whole.status == "incomplete" else "stop"
        yield from writer.end(finish, whole.usage, now=whole.completed_at or whole.created_at)
    else:
        yield from writer.close("incomplete")
        yield writer.event(ResponseEvent(type=f"response.{whole.status}", response=whole))


def written_again(writer: ResponseWriter, stored: StoredResponse) -> Iterator[ResponseEvent]:
    """The pieces of a stream, as they were cut."""
    parts = [part for item in stored.response.output for part in texts(item)]
    letters = (letter for part in parts for letter in part.text)
    logprobs = (entry for part in parts for entry in part.logprobs or [])
    calls = (item for item in stored.response.output if isinstance(item, FunctionCallItem))
    for cut in stored.cuts:
        if cut == Cut():
            yield from writer.write_call(called(next(calls)))
        else:
            text = "".join(islice(letters, cut.text))
            yield from writer.write(text, list(islice(logprobs, cut.logprobs)))


def texts(item: OutputItem) -> list[OutputText]:
    """The parts of a message."""
    if isinstance(item, FunctionCallItem) or isinstance(item.content, str):
        return []
    return [part for part in item.content if isinstance(part, OutputText)]


def called(item: FunctionCallItem) -> ToolCall:
    """An item's call, as chat has it."""
    return ToolCall.model_validate(
        {"id": item.call_id, "function": {"name": item.name, "arguments": item.arguments}}
    )
