"""The chunks of a stream put together again: the reply that a client has been given."""

from dataclasses import dataclass, field

from afina.schemas.chat import CreateChatCompletion
from afina.schemas.chat_replies import (
    AssistantReply,
    CalledFunction,
    ChatChoice,
    ChatChunk,
    ChatCompletion,
    ChatUsage,
    ChoiceLogprobs,
    ChunkChoice,
    FinishReason,
    TokenLogprob,
    ToolCall,
)


@dataclass
class Part:
    """One choice as far as it has come."""

    text: str = ""
    calls: list[ToolCall] = field(default_factory=list[ToolCall])
    function_call: CalledFunction | None = None
    logprobs: list[TokenLogprob] = field(default_factory=list[TokenLogprob])
    finish: FinishReason | None = None

    def add(self, news: ChunkChoice) -> None:
        """What a chunk says about this choice."""
        self.text += news.delta.content or ""
        for call in news.delta.tool_calls or []:
            self.calls.append(ToolCall(id=call.id, function=call.function))
        self.function_call = news.delta.function_call or self.function_call
        self.logprobs += news.logprobs.content if news.logprobs else []
        self.finish = news.finish_reason or self.finish

    def choice(self, index: int, *, logprobs: bool) -> ChatChoice:
        """The choice as a whole reply has it."""
        assert self.finish is not None, "a stream that ends well says why each choice ended"
        message = AssistantReply(
            content=self.text if self.text or not (self.calls or self.function_call) else None,
            tool_calls=self.calls or None,
            function_call=self.function_call,
        )
        entries = ChoiceLogprobs(content=self.logprobs) if logprobs else None
        return ChatChoice(index=index, message=message, logprobs=entries, finish_reason=self.finish)


class Gathered:
    """A reply that grows chunk by chunk; the last chunk is the one with the usage."""

    def __init__(self, request: CreateChatCompletion):
        self.logprobs = bool(request.logprobs)
        self.parts = [Part() for _ in range(request.n or 1)]
        self.usage: ChatUsage | None = None
        self.last: ChatChunk | None = None

    def add(self, chunk: ChatChunk) -> None:
        """One more chunk."""
        for news in chunk.choices:
            self.parts[news.index].add(news)
        self.usage = chunk.usage or self.usage
        self.last = chunk

    def reply(self) -> ChatCompletion:
        """The whole reply, once the last chunk has come."""
        assert self.last is not None and self.usage is not None
        choices = [part.choice(i, logprobs=self.logprobs) for i, part in enumerate(self.parts)]
        return ChatCompletion(
            id=self.last.id,
            created=self.last.created,
            model=self.last.model,
            choices=choices,
            usage=self.usage,
            system_fingerprint=self.last.system_fingerprint,
        )
