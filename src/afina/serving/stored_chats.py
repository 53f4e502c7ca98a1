"""Keeps chats whose request says `store`, whoever asked: a reply is answered once it is durable."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing

from afina.schemas.chat import CreateChatCompletion
from afina.schemas.chat_replies import ChatChunk, ChatCompletion
from afina.schemas.stored_chats import StoredChat
from afina.serving.gathered import Gathered
from afina.store import chats
from afina.store.database import Database


async def keep(
    database: Database, project_id: str, asked: CreateChatCompletion, reply: ChatCompletion
) -> None:
    """Store the chat where that was asked for."""

    def write() -> None:
        with database.scope(project_id) as scope:
            chats.insert(scope, StoredChat.of(asked, reply))

    if asked.store:
        await asyncio.to_thread(write)


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
