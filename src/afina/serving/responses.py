"""Responses: items in, a response or the events of its stream out, by way of chat."""

import asyncio
import time
from bisect import bisect_left
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator
from contextlib import aclosing, suppress

from afina import ids
from afina.errors import AfinaError, InvalidRequest
from afina.schemas.chat import CreateChatCompletion, StreamOptions
from afina.schemas.chat_replies import ChatChunk, ChatCompletion, ChatUsage, FinishReason, ToolCall
from afina.schemas.response_items import FunctionCallItem, FunctionOutputItem, Item
from afina.schemas.response_replies import (
    CompactedResponse,
    InputTokens,
    Response,
    ResponseEvent,
    ResponseInputDetails,
    ResponseUsage,
    StoredResponse,
)
from afina.schemas.responses import CompactResponse, CreateResponse, ResponsePrompt
from afina.schemas.tokens import OutputDetails
from afina.serving import summaries
from afina.serving.names import Target
from afina.serving.offers import declared
from afina.serving.requests import messages
from afina.serving.response_events import ResponseWriter
from afina.serving.response_messages import (
    chat_request,
    in_the_words_of_responses,
    items_of,
)
from afina.serving.response_turns import Past, Turn, begin, keep
from afina.serving.router import Router

Keep = Callable[[StoredResponse], Awaitable[object]]


def fitted(router: Router, turn: Turn) -> CreateChatCompletion:
    """The chat of all items, or with `truncation` of as many of the last ones as the context holds."""
    items, request = turn.items, turn.request
    return chat_request(request, last_that_fit(router, turn.target, request, items), model=turn.target.asked)


def last_that_fit(router: Router, target: Target, request: ResponsePrompt, items: list[Item]) -> list[Item]:
    """All items, unless they are too long and may be cut off at their beginning."""

    def fits(first: int) -> bool:
        try:
            router.prepare(target, chat_request(request, behind(items, first), model=target.asked))
        except InvalidRequest as error:
            if error.code != "context_length_exceeded":
                raise
            return False
        return True

    if request.truncation != "auto" or not items or fits(0):
        return items
    return behind(items, bisect_left(range(len(items) - 1), True, key=fits))


def behind(items: list[Item], first: int) -> list[Item]:
    """The items from a place on, without outputs of calls before it."""
    gone = {item.call_id for item in items[:first] if isinstance(item, FunctionCallItem)}
    return [
        item for item in items[first:] if not (isinstance(item, FunctionOutputItem) and item.call_id in gone)
    ]


async def complete(router: Router, turn: Turn) -> StoredResponse:
    """The whole response."""
    with in_the_words_of_responses():
        chat = await asyncio.to_thread(fitted, router, turn)
        reply = await router.complete(turn.target, chat)
    writer = ResponseWriter(turn.begun.response)
    for _ in write_whole(writer, reply):
        pass
    return finished(turn, writer)


async def respond(router: Router, project_id: str, request: CreateResponse) -> Response:
    """The whole response, kept, for whoever has the request as an object."""
    turn = await asyncio.to_thread(begin, router, project_id, request)
    stored = await complete(router, turn)

    def write() -> None:
        with router.database.scope(project_id) as scope:
            keep(scope, turn, stored)

    await asyncio.to_thread(write)
    return stored.response


def write_whole(writer: ResponseWriter, reply: ChatCompletion) -> Iterator[ResponseEvent]:
    """A whole reply of chat, in one piece."""
    choice = reply.choices[0]
    yield from writer.begin()
    yield from writer.write(choice.message.content or "", choice.logprobs.content if choice.logprobs else ())
    for call in choice.message.tool_calls or []:
        yield from writer.write_call(call)
    yield from writer.end(choice.finish_reason, usage(reply.usage), now=int(time.time()))


async def stream(router: Router, turn: Turn, write: Keep) -> AsyncGenerator[ResponseEvent]:
    """The events; before the last one the response is kept.

    Whatever can fail before the first token has failed before the first event comes out.
    """
    with in_the_words_of_responses():
        chat = await asyncio.to_thread(fitted, router, turn)
        options = StreamOptions(include_usage=True)
        chat = chat.model_copy(update={"stream": True, "stream_options": options})
        writer = ResponseWriter(turn.begun.response)
        chunks = router.stream(turn.target, chat)
        async with aclosing(chunks):
            first = await anext(chunks)
            for event in writer.begin():
                yield event
            try:
                async for event in write_chunks(writer, first, chunks):
                    if event.response is not None:
                        await write(finished(turn, writer))
                    yield event
            except AfinaError as error:
                failing = list(writer.fail(error))
                with suppress(AfinaError):  # it may be what has failed
                    await write(finished(turn, writer))
                for event in failing:
                    yield event


async def write_chunks(
    writer: ResponseWriter, first: ChatChunk, chunks: AsyncGenerator[ChatChunk]
) -> AsyncGenerator[ResponseEvent]:
    """The events of chat's chunks; the last one counts the tokens."""
    chunk: ChatChunk | None = first
    finish: FinishReason = "stop"
    counts: ChatUsage | None = None
    while chunk is not None:
        for choice in chunk.choices:
            entries = choice.logprobs.content if choice.logprobs else ()
            for event in writer.write(choice.delta.content or "", entries):
                yield event
            for call in choice.delta.tool_calls or []:
                for event in writer.write_call(ToolCall(id=call.id, function=call.function)):
                    yield event
            finish = choice.finish_reason or finish
        counts = chunk.usage or counts
        chunk = await anext(chunks, None)
    for event in writer.end(finish, counts and usage(counts), now=int(time.time())):
        yield event


def finished(turn: Turn, writer: ResponseWriter) -> StoredResponse:
    """What is stored of a response whose last event is written."""
    return turn.begun.model_copy(update={"response": writer.response, "cuts": writer.cuts})


def usage(counts: ChatUsage) -> ResponseUsage:
    """Chat's counts in other words."""
    return ResponseUsage(
        input_tokens=counts.prompt_tokens,
        input_tokens_details=ResponseInputDetails(cached_tokens=counts.prompt_tokens_details.cached_tokens),
        output_tokens=counts.completion_tokens,
        output_tokens_details=OutputDetails(
            reasoning_tokens=counts.completion_tokens_details.reasoning_tokens
        ),
        total_tokens=counts.total_tokens,
    )


def count(router: Router, target: Target, request: ResponsePrompt, past: Past) -> InputTokens:
    """How long the prompt would be, whether it fits or not."""
    items = [*past.items, *(past.opening or []), *items_of(request.input)]
    with in_the_words_of_responses():
        shown = last_that_fit(router, target, request, items)
        chat = chat_request(request, shown, model=target.asked)
        renderer = router.bases.get(target.base).renderer
        return InputTokens(input_tokens=len(renderer.prompt(messages(chat), declared(chat) or None)))


async def compact(router: Router, target: Target, request: CompactResponse, past: Past) -> CompactedResponse:
    """The model's own summary of a conversation; nothing is asked of it where nothing was said."""
    items = [*past.items, *items_of(request.input)]
    counts = ResponseUsage()
    summary = ""
    if items:
        order = CreateResponse(instructions=request.instructions, truncation="auto")
        with in_the_words_of_responses():
            shown = await asyncio.to_thread(last_that_fit, router, target, order, [*items, summaries.order()])
            reply = await router.complete(target, chat_request(order, shown, model=target.asked))
        summary, counts = reply.choices[0].message.content or "", usage(reply.usage)
    return CompactedResponse(
        id=ids.prefixed("resp_"),
        created_at=int(time.time()),
        output=[summaries.packed(summary, id=ids.prefixed("cmp_"))],
        usage=counts,
    )
