"""Held-out conversations played through the API: greedy replies, and scores of the written answers."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

import httpx

from afina.cli.chat import WARNING_HEADER
from afina.data.messages import Conversation
from afina.data.strict_json import JsonObject
from afina.evals.compare import Likelihood, Reply
from afina.evals.prompts import Prompt
from afina.schemas.scores import Scores

if TYPE_CHECKING:
    from openai import AsyncOpenAI
    from openai.types.chat import ChatCompletionMessageParam, ChatCompletionToolParam

IN_FLIGHT = 32
SCORED_AT_ONCE = 32


@dataclass(frozen=True)
class Player:
    """Asks one server; `done` hears of every conversation that is through."""

    client: "AsyncOpenAI"
    max_tokens: int
    done: Callable[[int], None]
    warn: Callable[[str | None], object]

    async def replies(self, model: str, prompt: Prompt, talks: Sequence[Conversation]) -> tuple[Reply, ...]:
        """The likeliest answer to each conversation's last question."""
        places = asyncio.Semaphore(IN_FLIGHT)

        async def one(talk: Conversation) -> Reply:
            async with places:
                return await self.reply(model, prompt.before(talk))

        return tuple(await asyncio.gather(*map(one, talks)))

    async def reply(self, model: str, talk: Conversation) -> Reply:
        """An answer in place of the last one."""
        from openai import omit

        asked = [without_weight(message) for message in talk.messages[:-1]]
        answer = await self.client.chat.completions.create(
            model=model,
            messages=cast("list[ChatCompletionMessageParam]", asked),
            tools=cast("list[ChatCompletionToolParam]", talk.tools) if talk.tools else omit,
            max_tokens=self.max_tokens,
            temperature=0,
        )
        self.done(1)
        assert answer.usage is not None
        return Reply(answer.choices[0].message.content or "", answer.usage.prompt_tokens)

    async def likelihoods(
        self, model: str, prompt: Prompt, talks: Sequence[Conversation]
    ) -> tuple[Likelihood, ...]:
        """How likely the model finds each conversation's own answers, behind the prompt."""
        found: list[Likelihood] = []
        for first in range(0, len(talks), SCORED_AT_ONCE):
            some = [prompt.before(talk) for talk in talks[first : first + SCORED_AT_ONCE]]
            found += await self.scores(model, some)
            self.done(len(some))
        return tuple(found)

    async def scores(self, model: str, talks: Sequence[Conversation]) -> list[Likelihood]:
        """One request; what the server warns of is passed on."""
        inputs = [
            {"messages": talk.messages, **({"tools": talk.tools} if talk.tools else {})} for talk in talks
        ]
        body = {"model": model, "inputs": inputs}
        reply = await self.client.post("/afina/scores", body=body, cast_to=httpx.Response)
        self.warn(reply.headers.get(WARNING_HEADER))
        scores = Scores.model_validate_json(reply.content).data
        return [Likelihood(score.tokens, score.loss, score.correct) for score in scores]

    async def likelihoods_if_they_fit(
        self, model: str, prompt: Prompt, talks: Sequence[Conversation]
    ) -> tuple[Likelihood, ...] | None:
        """As `likelihoods`; None where the prompt leaves no room for them in the model's context."""
        from openai import BadRequestError

        try:
            return await self.likelihoods(model, prompt, talks)
        except BadRequestError as error:
            if error.code != "context_length_exceeded" or not prompt.examples:
                raise
            return None


def without_weight(message: JsonObject) -> JsonObject:
    """A message of a training row as chat takes it."""
    return {key: value for key, value in message.items() if key != "weight"}


def mean_loss(likelihoods: Sequence[Likelihood]) -> float:
    """The mean over all tokens."""
    return sum(one.loss * one.tokens for one in likelihoods) / sum(one.tokens for one in likelihoods)
