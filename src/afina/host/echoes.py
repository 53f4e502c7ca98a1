"""Prompts given back, each token with how likely the model finds it behind those before it.

What all prompts of a request begin with is computed once in a pass: few-shot examples, a system message.
"""

import asyncio
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import lru_cache
from itertools import takewhile
from math import isfinite

from afina.data.render import Renderer
from afina.engine import types
from afina.engine.engine import Engine
from afina.engine.types import Logprobs
from afina.errors import NotFinite
from afina.schemas.completions import TOKEN_ID, CompletionChoice, CompletionLogprobs, CompletionRequest

SHORTEST_PREFIX = 16  # below, the mask that a prefix needs costs more than the tokens that it saves
SPELT = 65_536
PASS_FLOP = 2e10  # what two cores do in 200 ms, so that chats and runs get their turns in between


class Echoes:
    """The first part of every choice of a request with `echo`."""

    def __init__(self, engine: Engine, renderer: Renderer):
        self.engine = engine
        self.renderer = renderer
        self.spelt = lru_cache(SPELT)(self.spell)

    def spell(self, id: int) -> str:
        """One token's text, special tokens too."""
        return self.renderer.decode([id], skip_special=False)

    async def of(self, request: CompletionRequest, adapter: str | None) -> list[CompletionChoice]:
        """One for each choice, in their order; scored only where `logprobs` asks for it."""
        prompts = request.prompts
        scores: Sequence[Logprobs | None] = [None] * len(prompts)
        if request.logprobs is not None:
            scores = await self.scored(prompts, adapter, top=request.logprobs)
        # Spelling out thousands of tokens takes a moment, in which others' tokens must go on.
        return await asyncio.to_thread(lambda: list(self.choices(request, scores)))

    async def scored(self, prompts: list[list[int]], adapter: str | None, *, top: int) -> list[Logprobs]:
        """The scores of each prompt from its second token on."""
        length = shared(prompts)
        head = [types.Sequence(tuple(prompts[0][:length]), (1.0,) * length)] if length else []
        tails = [tuple(prompt[length:]) for prompt in prompts]
        rest = [types.Sequence(ids, (1.0,) * len(ids), parent=0 if head else None) for ids in tails]
        answers = await self.engine.logprobs(
            adapter, [*head, *rest], token_budget=length + self.token_budget, top=top
        )
        if not head:
            return answers
        first = answers[0]
        return [
            Logprobs(first.values + own.values, first.argmax + own.argmax, first.top + own.top)
            for own in answers[1:]
        ]

    @property
    def token_budget(self) -> int:
        """Tokens of one pass besides what all begin with: a forward is two operations a parameter."""
        return max(256, min(8192, int(PASS_FLOP / (2 * self.engine.parameters))))

    def choices(
        self, request: CompletionRequest, scores: Sequence[Logprobs | None]
    ) -> Iterator[CompletionChoice]:
        """Text and log-probabilities of each prompt, once for each of its choices."""
        spelt = as_id if request.return_tokens_as_token_ids else self.spelt
        for place, (ids, of) in enumerate(zip(request.prompts, scores, strict=True)):
            text, logprobs = self.renderer.decode(ids), None if of is None else spelt_out(ids, of, spelt)
            for index in range(place * request.n, place * request.n + request.n):
                yield CompletionChoice(index=index, text=text, logprobs=logprobs)


def as_id(id: int) -> str:
    """A token by its number."""
    return f"{TOKEN_ID}{id}"


def spelt_out(ids: list[int], of: Logprobs, spelt: Callable[[int], str]) -> CompletionLogprobs:
    """Scores on the wire; the first token has none."""
    if not all(map(isfinite, of.values)):
        raise NotFinite("The adapter's outputs are not finite; nothing can be scored by it.")
    tops = of.top or ((),) * len(of.values)
    likeliest = [
        alternatives((*top, (id, value)), spelt)
        for id, value, top in zip(ids[1:], of.values, tops, strict=True)
    ]
    return CompletionLogprobs(
        tokens=[spelt(id) for id in ids],
        token_logprobs=[None, *of.values],
        top_logprobs=[None, *likeliest],
    )


def alternatives(found: Iterable[tuple[int, float]], spelt: Callable[[int], str]) -> dict[str, float]:
    """Tokens with their log-probabilities, likeliest first; of two that are spelt alike the likelier one counts."""
    by_text: dict[str, float] = {}
    for id, logprob in found:
        by_text.setdefault(spelt(id), logprob)
    return by_text


def shared(prompts: list[list[int]]) -> int:
    """How many tokens all prompts begin with, where it pays; each has at least one of its own behind them."""
    if len(prompts) < 2:
        return 0
    columns = zip(*(prompt[:-1] for prompt in prompts), strict=False)
    length = sum(1 for _ in takewhile(lambda column: len(set(column)) == 1, columns))
    return length if length >= SHORTEST_PREFIX else 0
