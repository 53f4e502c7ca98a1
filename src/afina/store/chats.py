"""Stored chats: their rows. Each holds the whole reply and what was asked for it."""

from collections.abc import Mapping

from sqlalchemy import ColumnElement, and_, select, true, update
from sqlalchemy import delete as delete_from
from sqlalchemy import insert as insert_into

from afina.errors import NotFound, clipped
from afina.schemas.record import Page
from afina.schemas.stored_chats import StoredChat
from afina.store import audit
from afina.store.pages import page as page_of
from afina.store.rows import carries, from_row, to_row
from afina.store.scope import Scope
from afina.store.tables import stored_chats


def insert(scope: Scope, chat: StoredChat) -> StoredChat:
    """Keep a chat, before its reply is answered."""
    mine = chat.model_copy(update={"project_id": scope.project_id})
    scope.connection.execute(insert_into(stored_chats).values(to_row(stored_chats, mine)))
    return mine


def get(scope: Scope, chat_id: str) -> StoredChat:
    """One stored chat of this project."""
    row = scope.connection.execute(select(stored_chats).where(one(scope, chat_id))).one_or_none()
    if row is None:
        raise NotFound(
            f"No such stored chat completion: {clipped(chat_id)}. Only those made with 'store' are kept.",
            param="completion_id",
        )
    return from_row(StoredChat, row)


def page(
    scope: Scope,
    *,
    after: str | None = None,
    limit: int = 20,
    model: str | None = None,
    metadata: Mapping[str, str] | None = None,
    without_metadata: bool = False,
    ascending: bool = True,
) -> Page[StoredChat]:
    """The project's stored chats, oldest first; `metadata` lists those that carry all of its pairs."""
    pairs = [carries(scope, stored_chats.c.metadata, pair) for pair in (metadata or {}).items()]
    named = true() if model is None else stored_chats.c.model == model
    bare = stored_chats.c.metadata.is_(None) if without_metadata else true()
    return page_of(
        scope,
        stored_chats,
        StoredChat,
        mine=stored_chats.c.project_id == scope.project_id,
        where=and_(named, bare, *pairs),
        after=after,
        limit=limit,
        ascending=ascending,
    )


def label(scope: Scope, chat_id: str, metadata: Mapping[str, str] | None) -> StoredChat:
    """Replace a chat's metadata, the only thing of it that may change."""
    kept = dict(metadata) if metadata else None
    scope.connection.execute(update(stored_chats).where(one(scope, chat_id)).values(metadata=kept))
    return get(scope, chat_id)


def delete(scope: Scope, chat_id: str, *, actor: str = "api") -> None:
    """Remove a stored chat; what was exported of it before stays."""
    get(scope, chat_id)
    scope.connection.execute(delete_from(stored_chats).where(one(scope, chat_id)))
    audit.record(scope, "chat.deleted", chat_id, actor=actor)


def one(scope: Scope, chat_id: str) -> ColumnElement[bool]:
    """The row of a chat of this project."""
    return (stored_chats.c.project_id == scope.project_id) & (stored_chats.c.id == chat_id)
