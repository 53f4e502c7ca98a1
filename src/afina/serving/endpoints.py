"""Requests by the path of their endpoint, for whoever has them as JSON and not as HTTP: whole replies, no streams."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping

from afina.errors import InvalidRequest
from afina.schemas.batches import Endpoint
from afina.schemas.chat import CreateChatCompletion, JsonObject
from afina.schemas.embeddings import CreateEmbeddings
from afina.schemas.moderations import CreateModeration
from afina.schemas.record import Record
from afina.schemas.responses import CreateResponse
from afina.schemas.text_completions import CreateCompletion
from afina.schemas.wording import validated
from afina.serving import embeddings, moderations, responses, stored_chats
from afina.serving.router import Router

Answer = Callable[[Router, str, JsonObject], Awaitable[Record]]


async def answer(router: Router, project_id: str, url: Endpoint, body: JsonObject) -> Record:
    """What the endpoint replies to a body; raises what a client would be told as an error."""
    for name in ("stream", "background"):
        if body.get(name):
            text = f"'{name}' is not supported in a batch: leave it out."
            raise InvalidRequest(text, param=name, code="unsupported_value")
    return await ENDPOINTS[url](router, project_id, body)


async def chat(router: Router, project_id: str, body: JsonObject) -> Record:
    """A chat, which is kept where that is asked for."""
    asked = validated(CreateChatCompletion, body)
    target = await asyncio.to_thread(router.find, project_id, asked.model)
    reply = await router.complete(target, asked)
    await stored_chats.keep(router.database, project_id, asked, reply)
    return reply


async def complete(router: Router, project_id: str, body: JsonObject) -> Record:
    """A completion, the legacy way."""
    asked = validated(CreateCompletion, body)
    target = await asyncio.to_thread(router.find, project_id, asked.model)
    return await router.complete_text(target, asked)


async def respond(router: Router, project_id: str, body: JsonObject) -> Record:
    """A response, which is kept unless told not to."""
    return await responses.respond(router, project_id, validated(CreateResponse, body))


async def embed(router: Router, project_id: str, body: JsonObject) -> Record:
    """A vector for each input."""
    return await embeddings.embed(router, validated(CreateEmbeddings, body))


async def moderate(router: Router, project_id: str, body: JsonObject) -> Record:
    """A judgement for each input."""
    return await moderations.moderate(router, validated(CreateModeration, body))


ENDPOINTS: Mapping[Endpoint, Answer] = {
    "/v1/chat/completions": chat,
    "/v1/completions": complete,
    "/v1/responses": respond,
    "/v1/embeddings": embed,
    "/v1/moderations": moderate,
}
