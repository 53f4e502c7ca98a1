"""Replies that a run tries out: sampled by its own adapter, by numbers that its seed and their place decide."""

import asyncio
import hashlib
from bisect import bisect_left
from collections.abc import Sequence as Many
from dataclasses import dataclass
from pathlib import Path

from afina.data.render import Renderer
from afina.data.strict_json import JsonObject
from afina.data.tokens import TokenFile
from afina.engine.engine import Engine
from afina.engine.grammar import Grammar, Grammars
from afina.engine.types import Batch, SamplingParams, Sequence
from afina.schemas.runs import RunSpec
from afina.training import items

AT_ONCE = 256  # replies asked for in one call, so that other runs and chats get their turn in between
END_OF_THOUGHT = "</think>"


@dataclass(frozen=True)
class Rollout:
    """One reply; `logprobs` are those that its ids were drawn with. `thought` counts the tokens of its reasoning."""

    question: int
    prompt: tuple[int, ...]
    ids: tuple[int, ...]
    logprobs: tuple[float, ...]
    text: str
    thought: int = 0


class Questions:
    """The prompts of a token file with their items, by number."""

    def __init__(self, path: str) -> None:
        self._data = TokenFile.open(path)
        self.items: list[JsonObject] = items.read(items.beside(Path(path)))

    def __len__(self) -> int:
        return len(self._data)

    def prompt(self, number: int) -> list[int]:
        """What the reply follows."""
        ids, _ = self._data[number]
        return ids.tolist()


@dataclass(frozen=True)
class Speech:
    """The language of a base: what its ids mean, and the forms that can be said in it."""

    renderer: Renderer
    grammars: Grammars


@dataclass(frozen=True)
class Speaker:
    """The model that a run trains, as somebody who replies in text; replies are held to the `grammar`, if any."""

    spec: RunSpec
    engine: Engine
    renderer: Renderer
    grammar: Grammar | None

    @classmethod
    async def of(cls, spec: RunSpec, engine: Engine, speech: Speech) -> "Speaker":
        """Compiling a grammar takes milliseconds that others need not wait."""
        assert spec.trials is not None
        form = spec.trials.form
        grammar = None if form is None else await asyncio.to_thread(speech.grammars.compiled, form)
        return cls(spec, engine, speech.renderer, grammar)

    async def replies(
        self, questions: Questions, numbers: Many[int], *, each: int, place: str
    ) -> list[list[Rollout]]:
        """`each` replies to each of these questions; `place` tells one drawing of a run from another."""
        asked = [(number, turn) for number in numbers for turn in range(each)]
        made: list[Rollout] = []
        for first in range(0, len(asked), AT_ONCE):
            made += await self.some(questions, asked[first : first + AT_ONCE], place)
        return [made[first : first + each] for first in range(0, len(made), each)]

    async def some(self, questions: Questions, asked: Many[tuple[int, int]], place: str) -> list[Rollout]:
        """One reply to each of (question, turn)."""
        prompts = [questions.prompt(number) for number, _ in asked]
        params = [self.sampling(place, number, turn) for number, turn in asked]
        sampled = await self.engine.rollouts(self.spec.adapter, prompts, params)
        made: list[Rollout] = []
        for (number, _), prompt, tokens in zip(asked, prompts, sampled, strict=True):
            ids = tuple(token.id for token in tokens)
            logprobs = tuple(token.logprob for token in tokens)
            text = self.renderer.decode(ids)
            made.append(Rollout(number, tuple(prompt), ids, logprobs, text, self.thought(ids, text)))
        return made

    def sampling(self, place: str, number: int, turn: int) -> SamplingParams:
        """As the model is, without temperature and cuts: what is drawn has the likelihood that is trained."""
        assert self.spec.trials is not None
        return SamplingParams(
            max_tokens=self.spec.trials.max_tokens,
            seed=seed_of(self.spec.seed, place, number, turn),
            stop_ids=tuple(self.renderer.stop_ids),
            grammar=self.grammar,
        )

    def thought(self, ids: Many[int], text: str) -> int:
        """How many tokens come before the end of the reasoning; none where there is none."""
        if END_OF_THOUGHT not in text:
            return 0
        return bisect_left(
            range(len(ids)), True, key=lambda count: END_OF_THOUGHT in self.renderer.decode(ids[:count])
        )


def seed_of(seed: int, place: str, number: int, turn: int) -> int:
    """63 bits of chance for one reply."""
    digest = hashlib.blake2b(f"{seed} {place} {number} {turn}".encode(), digest_size=8).digest()
    return int.from_bytes(digest) >> 1


def batch_of(groups: Many[Many[Rollout]], *, token_budget: int, denominator: float) -> Batch:
    """Each prompt once and the replies that continue it; a reply's place among all replies is its group."""
    sequences: list[Sequence] = []
    count = 0
    for group in groups:
        prompt = group[0].prompt
        parent = len(sequences)
        sequences.append(Sequence(prompt, (0.0,) * len(prompt)))
        for rollout in group:
            sequences.append(Sequence(rollout.ids, (1.0,) * len(rollout.ids), parent, group=count))
            count += 1
    return Batch(tuple(sequences), token_budget, denominator=denominator)
