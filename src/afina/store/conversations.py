"""Conversations: where their responses begin, and which was the last."""

from sqlalchemy import delete as delete_from
from sqlalchemy import insert as insert_into
from sqlalchemy import select, update

from afina.errors import NotFound, clipped
from afina.schemas.conversations import Conversation
from afina.schemas.response_items import Item
from afina.store import audit, responses
from afina.store.response_tables import conversations
from afina.store.rows import columns, from_row, to_row
from afina.store.scope import Scope


def insert(scope: Scope, conversation: Conversation) -> Conversation:
    """Begin a conversation of this project."""
    row = {**to_row(conversations, conversation), "project_id": scope.project_id}
    scope.connection.execute(insert_into(conversations).values(row))
    return conversation


def get(scope: Scope, conversation_id: str, *, hold: bool = False) -> Conversation:
    """One conversation of this project; `hold` keeps others from changing it before this transaction ends."""
    query = select(conversations).where(
        conversations.c.project_id == scope.project_id, conversations.c.id == conversation_id
    )
    row = scope.connection.execute(query.with_for_update() if hold else query).one_or_none()
    if row is None:
        raise unknown(conversation_id)
    return from_row(Conversation, row)


def unknown(conversation_id: str) -> NotFound:
    """Not there, or not yours."""
    return NotFound(f"Conversation with id '{clipped(conversation_id)}' not found.", param="conversation")


def change(scope: Scope, conversation: Conversation) -> Conversation:
    """Write its metadata and its last response."""
    mine = conversations.c.project_id == scope.project_id
    row = columns(conversations, conversation.model_dump(include={"metadata"}))
    row["last_response_id"] = conversation.last_response_id
    changed = update(conversations).where(mine, conversations.c.id == conversation.id).values(row)
    if not scope.connection.execute(changed).rowcount:
        raise unknown(conversation.id)
    return conversation


def delete(scope: Scope, conversation_id: str, *, actor: str = "api") -> Conversation:
    """Forget a conversation; its responses stay, as their own."""
    conversation = get(scope, conversation_id)
    mine = conversations.c.project_id == scope.project_id
    scope.connection.execute(delete_from(conversations).where(mine, conversations.c.id == conversation_id))
    audit.record(scope, "conversation.deleted", conversation_id, actor=actor)
    return conversation


def history(scope: Scope, conversation: Conversation) -> list[Item]:
    """All its items, oldest first; its first response has taken over those that it was made with."""
    if conversation.last_response_id is None:
        return conversation.items
    return responses.history(scope, conversation.last_response_id, param="conversation")
