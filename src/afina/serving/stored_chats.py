"""Keeps chats whose request says `store`, whoever asked: a reply is answered once it is durable."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing

from afina.schemas.chat import CreateChatCompletion
from afina.schemas.chat_replies import ChatChunk, ChatCompletion
from afina.schemas.stored_chats import StoredChat
from afina.serving.gathered import Gathered
from afina.store import chats, idempotency
from afina.store.database import Database
from afina.store.idempotency import Attempt


async def keep(
    database: Database,
    project_id: str,
    asked: CreateChatCompletion,
    reply: ChatCompletion,
    *,
    attempt: Attempt | None = None,
) -> ChatCompletion:
    """Store the chat where that was asked for; what an equal attempt has stored before is the reply."""

    def write() -> ChatCompletion:
        with database.scope(project_id) as scope:
            if attempt and (known := idempotency.replay(scope, attempt)):
                return chats.get(scope, known.object_id).completion
            chats.insert(scope, StoredChat.of(asked, reply))
            if attempt:
                idempotency.remember(scope, attempt, reply.id)
            return reply

    return await asyncio.to_thread(write) if asked.store else reply


def kept_before(database: Database, project_id: str, attempt: Attempt) -> ChatCompletion | None:
    """The reply that an equal attempt has stored."""
    with database.scope(project_id) as scope:
        known = idempotency.replay(scope, attempt)
        return known and chats.get(scope, known.object_id).completion


async def keeping(
    database: Database, project_id: str, asked: CreateChatCompletion, chunks: AsyncGenerator[ChatChunk]
) -> AsyncGenerator[ChatChunk]:
    """The chunks as they come; what they make together is kept once the last of them is out."""
    whole = Gathered(asked)
    async with aclosing(chunks):
        async for chunk in chunks:
            if asked.store:
                whole.add(chunk)
            yield chunk
    if asked.store:
        await keep(database, project_id, asked, whole.reply())
