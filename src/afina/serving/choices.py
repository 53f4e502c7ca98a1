"""A host's choices as chat's: text, tool calls and why it ended."""

from collections.abc import Iterator

from afina.schemas.chat_replies import (
    AssistantReply,
    ChatChoice,
    ChunkChoice,
    Delta,
    FinishReason,
    ToolCall,
    ToolCallDelta,
)
from afina.schemas.completions import CompletionChoice
from afina.serving.tools import CallReader


def whole_choice(choice: CompletionChoice, *, reads_calls: bool, several: bool) -> ChatChoice:
    """One choice of a whole reply; `several` calls are kept, or only the first."""
    text, calls = choice.text, list[ToolCall]()
    if reads_calls:
        reader = CallReader()
        text = reader.feed(choice.text) + reader.flush()
        calls = reader.calls if several else reader.calls[:1]
    message = AssistantReply(content=text if text or not calls else None, tool_calls=calls or None)
    return ChatChoice(index=choice.index, message=message, finish_reason=finish(choice, called=bool(calls)))


class ChoiceStream:
    """One choice of a stream: its first chunk says who speaks, its last one why it ended."""

    def __init__(self, index: int, *, reads_calls: bool, several: bool):
        self.index = index
        self.reader = CallReader() if reads_calls else None
        self.most_calls = 128 if several else 1
        self.sent_calls = 0
        self.begun = False

    def feed(self, news: CompletionChoice) -> Iterator[ChunkChoice]:
        """The chunks that a piece of the host's reply makes."""
        if not self.begun:
            self.begun = True
            yield self.chunk(Delta(role="assistant", content=""))
        text = news.text
        if self.reader is not None:
            text = self.reader.feed(text) + (self.reader.flush() if news.finish_reason else "")
        if text:
            yield self.chunk(Delta(content=text))
        if calls := self.new_calls():
            yield self.chunk(Delta(tool_calls=calls))
        if news.finish_reason:
            yield self.chunk(Delta(), finish(news, called=self.sent_calls > 0))

    def new_calls(self) -> list[ToolCallDelta]:
        """The calls that became complete since the last chunk."""
        found = [] if self.reader is None else self.reader.calls[self.sent_calls : self.most_calls]
        start, self.sent_calls = self.sent_calls, self.sent_calls + len(found)
        return [
            ToolCallDelta(index=place, id=call.id, function=call.function)
            for place, call in enumerate(found, start)
        ]

    def chunk(self, delta: Delta, reason: FinishReason | None = None) -> ChunkChoice:
        """A piece of this choice."""
        return ChunkChoice(index=self.index, delta=delta, finish_reason=reason)


def finish(choice: CompletionChoice, *, called: bool) -> FinishReason:
    """Why it ended: a reply that ends by itself with a call in it asks for that call."""
    reason = choice.finish_reason or "stop"
    return "tool_calls" if called and reason == "stop" else reason
