"""Chat over hosts: messages in, a whole reply, a stream of chunks or scores out."""

import asyncio
import hashlib
import time
from collections.abc import AsyncGenerator
from contextlib import aclosing

from afina import ids
from afina.blobs import Blobs
from afina.schemas.chat import CreateChatCompletion
from afina.schemas.chat_replies import ChatChunk, ChatCompletion, ChatUsage, PromptDetails
from afina.schemas.completions import Completion, CompletionChoice, CompletionUsage
from afina.schemas.models import Model
from afina.schemas.scores import CreateScores, Scores
from afina.schemas.text_completions import CreateCompletion, TextCompletion
from afina.serving import scores, texts
from afina.serving.bases import Bases
from afina.serving.bias import translated
from afina.serving.choices import ChoiceStream, whole_choice
from afina.serving.hosts import Hosts, adapter_name
from afina.serving.limits import refuse_inconsistent, refuse_unsupported
from afina.serving.names import Target, resolve
from afina.serving.requests import Asked, prepare
from afina.serving.text_choices import TextReader, best
from afina.serving.texts import AskedText
from afina.settings import Settings
from afina.store.database import Database


class Router:
    """From a model's name to the host that answers for it."""

    def __init__(self, database: Database, blobs: Blobs, settings: Settings):
        self.database = database
        self.settings = settings
        self.production = settings.environment == "production"
        self.vocabularies = settings.data / "vocabularies"  # of OpenAI's, where an operator has put them
        self.hosts = Hosts(database, blobs, patience=settings.host_start_seconds, loaded=settings.has_workers)
        self.bases = Bases(self.hosts.adapters)

    async def close(self) -> None:
        """End all connections to hosts."""
        await self.hosts.close()

    def find(self, project_id: str, name: str) -> Target:
        """What a name stands for in a project."""
        with self.database.read(project_id) as scope:
            return resolve(scope, name, production=self.production)

    def prepare(self, target: Target, request: CreateChatCompletion) -> Asked:
        """Check and render; everything that can be refused is refused here."""
        refuse_inconsistent(request)
        refuse_unsupported(request)
        base = self.bases.get(target.base)
        bias = translated(request.logit_bias or {}, target, base.renderer, self.vocabularies)
        return prepare(request, base, model=adapter_name(target), bias=bias)

    async def complete(self, target: Target, request: CreateChatCompletion) -> ChatCompletion:
        """The whole reply."""
        asked = await asyncio.to_thread(self.prepare, target, request)
        if asked.completion is None:
            reply = await self.nothing(target, request, asked)
        else:
            reply = await self.hosts.complete(target, asked.completion)
        ordered = sorted(reply.choices, key=lambda choice: choice.index)
        choices = [whole_choice(choice, offer=asked.offer, spelling=asked.spelling) for choice in ordered]
        assert reply.usage is not None
        return ChatCompletion(
            id=ids.completion_id(),
            created=int(time.time()),
            model=target.asked,
            choices=choices,
            usage=usage(reply.usage),
            system_fingerprint=fingerprint(target.resolved),
        )

    async def scores(self, target: Target, request: CreateScores) -> Scores:
        """How likely the target finds the assistant's words of each input."""
        base = await asyncio.to_thread(self.bases.get, target.base)
        inputs = await asyncio.to_thread(scores.prepare, request, base)
        rows = [row for found in inputs for row in found]
        choices: list[CompletionChoice] = []
        for asked in scores.requests(rows, model=adapter_name(target)):
            reply = await self.hosts.complete(target, asked)
            choices += sorted(reply.choices, key=lambda choice: choice.index)
        parts = (scores.read(row, choice) for row, choice in zip(rows, choices, strict=True))
        return Scores(data=[scores.score([next(parts) for _ in found]) for found in inputs])

    async def stream(self, target: Target, request: CreateChatCompletion) -> AsyncGenerator[ChatChunk]:
        """The reply's chunks; the usage comes last.

        Whatever can fail before the first token has failed before the first chunk comes out.
        """
        asked = await asyncio.to_thread(self.prepare, target, request)
        blank = ChatChunk(
            id=ids.completion_id(),
            created=int(time.time()),
            model=target.asked,
            choices=[],
            system_fingerprint=fingerprint(target.resolved),
        )
        choices = [ChoiceStream(i, offer=asked.offer, spelling=asked.spelling) for i in range(request.n or 1)]
        async with aclosing(self.replies(target, request, asked)) as replies:
            async for reply in replies:
                for news in reply.choices:
                    for choice in choices[news.index].feed(news):
                        yield blank.model_copy(update={"choices": [choice]})
                if reply.usage is not None:
                    yield blank.model_copy(update={"usage": usage(reply.usage)})

    async def replies(
        self, target: Target, request: CreateChatCompletion, asked: Asked
    ) -> AsyncGenerator[Completion]:
        """What the host says, or what there is to say without one."""
        if asked.completion is None:
            yield await self.nothing(target, request, asked)
            return
        async with aclosing(self.hosts.stream(target, asked.completion)) as replies:
            async for reply in replies:
                yield reply

    async def nothing(self, target: Target, request: CreateChatCompletion, asked: Asked) -> Completion:
        """The reply to a request for no tokens, which no host is asked for."""
        choices = [CompletionChoice(index=i, text="", finish_reason="length") for i in range(request.n or 1)]
        counts = CompletionUsage(
            prompt_tokens=asked.prompt_tokens, completion_tokens=0, total_tokens=asked.prompt_tokens
        )
        await self.hosts.meter.count("completions", target.resolved.id, counts)
        return Completion(model=target.base.id, choices=choices, usage=counts)

    def prepare_text(self, target: Target, request: CreateCompletion) -> AskedText:
        """Check a legacy completion and write its prompts as ids."""
        base = self.bases.get(target.base)
        bias = translated(request.logit_bias or {}, target, base.renderer, self.vocabularies)
        return texts.prepare(request, base, model=adapter_name(target), bias=bias)

    async def complete_text(self, target: Target, request: CreateCompletion) -> TextCompletion:
        """The whole reply to each prompt."""
        asked = await asyncio.to_thread(self.prepare_text, target, request)
        reply = await self.hosts.complete(target, asked.completion)
        assert reply.usage is not None
        renderer = self.bases.get(target.base).renderer
        choices = [
            TextReader(renderer, asked, asked.texts[i // asked.n]).feed(choice, i)
            for i, choice in enumerate(best(reply.choices, asked))
        ]
        return blank_text(target).model_copy(update={"choices": choices, "usage": usage(reply.usage)})

    async def stream_text(self, target: Target, request: CreateCompletion) -> AsyncGenerator[TextCompletion]:
        """The pieces of all replies as they come, an echo first; the usage comes last."""
        asked = await asyncio.to_thread(self.prepare_text, target, request)
        blank, renderer = blank_text(target), self.bases.get(target.base).renderer
        readers = [TextReader(renderer, asked, text) for text in asked.texts for _ in range(asked.n)]
        async with aclosing(self.hosts.stream(target, asked.completion)) as replies:
            async for reply in replies:
                for piece in reply.choices:
                    choice = readers[piece.index].feed(piece, piece.index)
                    yield blank.model_copy(update={"choices": [choice]})
                if reply.usage is not None:
                    yield blank.model_copy(update={"usage": usage(reply.usage)})

    async def forget(self, model: Model) -> None:
        """A deleted model is not served any longer."""
        await self.hosts.forget(model)


def blank_text(target: Target) -> TextCompletion:
    """A legacy completion before anything is said."""
    return TextCompletion(
        id=ids.prefixed("cmpl-"),
        created=int(time.time()),
        model=target.asked,
        choices=[],
        system_fingerprint=fingerprint(target.resolved),
    )


def usage(counts: CompletionUsage) -> ChatUsage:
    """The host's counts as chat's."""
    return ChatUsage(
        prompt_tokens=counts.prompt_tokens,
        completion_tokens=counts.completion_tokens,
        total_tokens=counts.total_tokens,
        prompt_tokens_details=PromptDetails(cached_tokens=counts.cached_tokens),
    )


def fingerprint(model: Model) -> str:
    """Changes when the weights behind a name do."""
    identity = f"{model.id} {model.source} {model.manifest_sha256}"
    return "fp_" + hashlib.sha256(identity.encode()).hexdigest()[:10]
