"""A host's choices as chat's: text, tool calls, log-probabilities and why it ended."""

from collections.abc import Iterator
from dataclasses import dataclass

from afina.schemas.chat_replies import (
    AssistantReply,
    ChatChoice,
    ChoiceLogprobs,
    ChunkChoice,
    Delta,
    FinishReason,
    ToolCall,
    ToolCallDelta,
)
from afina.schemas.completions import CompletionChoice
from afina.serving.logprobs import ContentLogprobs, Spelling
from afina.serving.offers import Offer
from afina.serving.tools import CallReader

MOST_CALLS = 128


@dataclass(frozen=True)
class News:
    """What a piece of a host's reply adds to a choice."""

    text: str
    calls: list[ToolCall]
    logprobs: ChoiceLogprobs | None
    finish: FinishReason | None


class ChoiceReader:
    """Reads one choice as it comes, in one piece or in many.

    Without an offer, a call is text like any other; where a call is required, there is no text.
    """

    def __init__(self, offer: Offer | None = None, spelling: Spelling | None = None):
        self.offer = offer
        self.calls = None if offer is None else CallReader()
        self.logprobs = None if spelling is None else ContentLogprobs(spelling)
        self.most_calls = MOST_CALLS if offer is None or offer.several else 1
        self.given_calls = 0

    def feed(self, piece: CompletionChoice) -> News:
        """What is certain with this piece."""
        text, calls = piece.text, list[ToolCall]()
        if self.calls is not None:
            text = self.calls.feed(text)
            if piece.finish_reason:
                text += self.calls.flush(cut_short=piece.finish_reason == "length")
            text = "" if self.offer is not None and self.offer.required else text
            calls = self.calls.calls[self.given_calls : self.most_calls]
            self.given_calls += len(calls)
        return News(text, calls, self.new_logprobs(piece, text), self.finish(piece))

    def new_logprobs(self, piece: CompletionChoice, text: str) -> ChoiceLogprobs | None:
        """The entries of new text; None where none were asked for."""
        if self.logprobs is None:
            return None
        ended = piece.finish_reason is not None and not self.given_calls
        return self.logprobs.feed(piece.logprobs, text, all_shown=self.calls is None or ended)

    def finish(self, piece: CompletionChoice) -> FinishReason | None:
        """Why it ended: a reply that ends by itself with a call in it asks for that call, unless the client did."""
        reason = piece.finish_reason
        if reason != "stop" or self.offer is None or not self.given_calls or self.offer.named:
            return reason
        return "function_call" if self.offer.legacy else "tool_calls"


def whole_choice(
    choice: CompletionChoice, *, offer: Offer | None = None, spelling: Spelling | None = None
) -> ChatChoice:
    """One choice of a whole reply."""
    ended = choice if choice.finish_reason else choice.model_copy(update={"finish_reason": "stop"})
    news = ChoiceReader(offer, spelling).feed(ended)
    legacy = offer is not None and offer.legacy and bool(news.calls)
    assert news.finish is not None
    message = AssistantReply(
        content=news.text if news.text or not news.calls else None,
        tool_calls=None if legacy else news.calls or None,
        function_call=news.calls[0].function if legacy else None,
    )
    return ChatChoice(index=choice.index, message=message, logprobs=news.logprobs, finish_reason=news.finish)


class ChoiceStream:
    """One choice of a stream: its first chunk says who speaks, its last one why it ended."""

    def __init__(self, index: int, *, offer: Offer | None = None, spelling: Spelling | None = None):
        self.index = index
        self.reader = ChoiceReader(offer, spelling)
        self.legacy = offer is not None and offer.legacy
        self.begun = False

    def feed(self, piece: CompletionChoice) -> Iterator[ChunkChoice]:
        """The chunks that a piece of the host's reply makes."""
        if not self.begun:
            self.begun = True
            yield self.chunk(Delta(role="assistant", content=""))
        start = self.reader.given_calls
        news = self.reader.feed(piece)
        if news.text or (news.logprobs and news.logprobs.content):
            yield self.chunk(Delta(content=news.text), logprobs=news.logprobs)
        if news.calls:
            yield self.chunk(self.called(news.calls, start))
        if news.finish:
            yield self.chunk(Delta(), news.finish)

    def called(self, calls: list[ToolCall], start: int) -> Delta:
        """Calls in the words of the request, numbered on from `start`."""
        if self.legacy:
            return Delta(function_call=calls[0].function)
        numbered = enumerate(calls, start)
        return Delta(
            tool_calls=[ToolCallDelta(index=i, id=call.id, function=call.function) for i, call in numbered]
        )

    def chunk(
        self, delta: Delta, reason: FinishReason | None = None, logprobs: ChoiceLogprobs | None = None
    ) -> ChunkChoice:
        """A piece of this choice."""
        return ChunkChoice(index=self.index, delta=delta, finish_reason=reason, logprobs=logprobs)
