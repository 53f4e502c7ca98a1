"""From a prompt of token ids to text: decoding, stop strings, several choices at once, whole or streamed."""

import asyncio
import secrets
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, aclosing
from dataclasses import dataclass, field

from afina.data.render import Renderer
from afina.engine.engine import Engine
from afina.engine.grammar import Grammar, Grammars
from afina.engine.types import SamplingParams, Token
from afina.host.adapters import Adapters
from afina.host.echoes import Echoes
from afina.host.stops import StopStrings, Text
from afina.schemas.completions import (
    TOKEN_ID,
    CachedTokens,
    Completion,
    CompletionChoice,
    CompletionLogprobs,
    CompletionRequest,
    CompletionUsage,
)

SEED_STRIDE = 0x9E3779B9  # choices of one request draw from seeds this far apart


@dataclass
class Recalled:
    """How many tokens of each prompt were known already; of its choices, the one that computed most counts."""

    tokens: dict[int, int] = field(default_factory=dict[int, int])

    def note(self, prompt: int, token: Token) -> None:
        """A token of one of a prompt's choices."""
        self.tokens[prompt] = min(token.recalled, self.tokens.get(prompt, token.recalled))

    @property
    def total(self) -> int:
        """Of all prompts."""
        return sum(self.tokens.values())


class Completions:
    """Answers completion requests on the base and on loaded adapters."""

    def __init__(
        self, engine: Engine, adapters: Adapters, renderer: Renderer, *, grammars: Grammars, base: str
    ):
        self.engine = engine
        self.adapters = adapters
        self.renderer = renderer
        self.grammars = grammars
        self.base = base
        self.echoes = Echoes(engine, renderer)

    async def whole(self, request: CompletionRequest) -> Completion:
        """All choices, complete."""
        parts: list[list[CompletionChoice]] = [[] for _ in range(len(request.prompts) * request.n)]
        counts: CompletionUsage | None = None
        async with aclosing(self.stream(request)) as chunks:
            async for chunk in chunks:
                counts = chunk.usage
                for choice in chunk.choices:
                    parts[choice.index].append(choice)
        return Completion(model=request.model, choices=[joined(part) for part in parts], usage=counts)

    async def stream(self, request: CompletionRequest) -> AsyncGenerator[Completion]:
        """A chunk for each token as soon as it exists, choices interleaved; the usage last.

        The first chunk is empty: it says that the model is here and the request accepted. Echoes come whole.
        """
        adapter = None if request.model == self.base else request.model
        async with AsyncExitStack() as stack:
            if adapter is not None:
                await stack.enter_async_context(self.adapters.using(adapter))
            grammar = await self.grammar(request)
            yield Completion(model=request.model, choices=[])
            if request.echo:
                for echo in await self.echoes.of(request, adapter):
                    yield Completion(model=request.model, choices=[echo])
            produced, count, recalled = 0, len(request.prompts) * request.n, Recalled()
            streams = [self.choice(request, i, grammar, recalled) for i in range(count)]
            async with aclosing(interleaved(streams)) as choices:
                async for choice in choices:
                    produced += len(choice.token_ids)
                    yield Completion(model=request.model, choices=[choice])
            yield Completion(model=request.model, choices=[], usage=usage(request, produced, recalled))

    async def grammar(self, request: CompletionRequest) -> Grammar | None:
        """The form that every choice is held to; compiling one takes milliseconds that others need not wait."""
        if request.response_format is None:
            return None
        return await asyncio.to_thread(self.grammars.compiled, request.response_format.format)

    async def choice(
        self, request: CompletionRequest, index: int, grammar: Grammar | None, recalled: Recalled
    ) -> AsyncGenerator[CompletionChoice]:
        """One choice, token by token; the last piece says why it ends."""
        if request.max_tokens == 0:
            yield CompletionChoice(index=index, text="", finish_reason="length")
            return
        adapter = None if request.model == self.base else request.model
        prompt, place = request.prompts[index // request.n], index % request.n
        text = Text(self.renderer.stream_decoder(), StopStrings(request.stop))
        tokens = self.engine.sample(adapter, prompt, self.sampling(request, place, grammar))
        async with aclosing(tokens):
            async for token in tokens:
                recalled.note(index // request.n, token)
                shown, certain = text.feed(token)
                yield CompletionChoice(
                    index=index,
                    text=shown,
                    finish_reason="stop" if text.stopped else token.finish,
                    token_ids=[token.id],
                    logprobs=None if request.logprobs is None else self.logprobs(request, certain),
                )
                if text.stopped:
                    return

    def sampling(self, request: CompletionRequest, index: int, grammar: Grammar | None) -> SamplingParams:
        """The engine's parameters for one of the choices of a prompt."""
        seed = secrets.randbits(63) if request.seed is None else request.seed
        return SamplingParams(
            max_tokens=request.max_tokens,
            temperature=request.temperature,
            top_p=request.top_p,
            top_k=request.top_k if request.top_k > 0 else None,
            min_p=request.min_p,
            seed=seed + index * SEED_STRIDE,
            presence_penalty=request.presence_penalty,
            frequency_penalty=request.frequency_penalty,
            bias={int(id): bias for id, bias in request.logit_bias.items() if bias},
            stop_ids=tuple({*self.renderer.stop_ids, *request.stop_token_ids}),
            logprobs=request.logprobs,
            grammar=grammar,
            salt=request.cache_salt or "",
        )

    def logprobs(self, request: CompletionRequest, tokens: list[Token]) -> CompletionLogprobs:
        """The log-probabilities of tokens and of their alternatives, spelt out or by their ids."""

        def spelt(id: int) -> str:
            return f"{TOKEN_ID}{id}" if request.return_tokens_as_token_ids else self.renderer.decode([id])

        return CompletionLogprobs(
            tokens=[spelt(token.id) for token in tokens],
            token_logprobs=[token.logprob for token in tokens],
            top_logprobs=[{spelt(id): logprob for id, logprob in token.top} for token in tokens],
        )


async def interleaved(streams: list[AsyncGenerator[CompletionChoice]]) -> AsyncGenerator[CompletionChoice]:
    """Items of all streams in the order in which they appear; leaving early ends every stream."""
    queue: asyncio.Queue[CompletionChoice | None] = asyncio.Queue()

    async def drain(stream: AsyncGenerator[CompletionChoice]) -> None:
        try:
            async for item in stream:
                queue.put_nowait(item)
        finally:
            queue.put_nowait(None)

    tasks = [asyncio.create_task(drain(stream)) for stream in streams]
    try:
        ended = 0
        while ended < len(tasks):
            item = await queue.get()
            if item is None:
                ended += 1
            else:
                yield item
        await asyncio.gather(*tasks)  # raises what a stream raised
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def joined(parts: list[CompletionChoice]) -> CompletionChoice:
    """The pieces of one choice as one."""
    pieces = [part.logprobs for part in parts if part.logprobs]
    return CompletionChoice(
        index=parts[0].index,
        text="".join(part.text for part in parts),
        finish_reason=parts[-1].finish_reason,
        token_ids=[id for part in parts for id in part.token_ids],
        logprobs=CompletionLogprobs(
            tokens=[token for piece in pieces for token in piece.tokens],
            token_logprobs=[value for piece in pieces for value in piece.token_logprobs],
            top_logprobs=[top for piece in pieces for top in piece.top_logprobs],
        )
        if pieces
        else None,
    )


def usage(request: CompletionRequest, produced: int, recalled: Recalled) -> CompletionUsage:
    """What the request cost, in tokens."""
    prompt = sum(map(len, request.prompts))
    return CompletionUsage(
        prompt_tokens=prompt,
        completion_tokens=produced,
        total_tokens=prompt + produced,
        prompt_tokens_details=CachedTokens(cached_tokens=recalled.total),
    )
