"""Conversations: where their responses begin, and which was the last."""

from collections.abc import Collection

from sqlalchemy import delete as delete_from
from sqlalchemy import insert as insert_into
from sqlalchemy import select, update

from afina.errors import InvalidRequest, NotFound, clipped
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
    """Write its metadata, its items and its last response."""
    mine = conversations.c.project_id == scope.project_id
    changing = {"metadata", "items", "removed", "last_response_id"}
    row = columns(
        conversations, {name: value for name, value in dict(conversation).items() if name in changing}
    )
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
    """All its items, oldest first: those of its responses, and those that were added since."""
    said = responses.history(scope, conversation.last_response_id, param="conversation")
    return [*without(said, conversation.removed), *conversation.items]


def without(items: list[Item], removed: list[str] | None) -> list[Item]:
    """The items that nobody has taken out."""
    return [item for item in items if item.id not in removed] if removed else items


def removed(scope: Scope, conversation_id: str) -> list[str]:
    """The ids of what was taken out of a conversation; none where it is gone."""
    mine = (conversations.c.project_id == scope.project_id) & (conversations.c.id == conversation_id)
    return scope.connection.execute(select(conversations.c.removed).where(mine)).scalar_one_or_none() or []


def add(
    scope: Scope, conversation: Conversation, items: list[Item], *, brought: Collection[str]
) -> Conversation:
    """Put items behind all others of a conversation, which is held; `brought` are the ids that we have not drawn.

    Ids of ours are new, so that nothing has to be read for them, and nothing has to be finished.
    """
    refuse_removed(conversation, brought, param="items")
    known = {item.id for item in history(scope, conversation)} if brought else set[str | None]()
    if len({*brought} - known) < len(brought):
        raise InvalidRequest(
            "An item of this conversation has this id already. Leave ids out.", param="items"
        )
    return change(scope, conversation.model_copy(update={"items": [*conversation.items, *items]}))


def refuse_removed(conversation: Conversation, brought: Collection[str], *, param: str) -> None:
    """A 400 for an id that was taken out: what enters under it would be left out with it."""
    if back := [name for name in brought if name in (conversation.removed or [])]:
        raise InvalidRequest(
            f"The item '{clipped(back[0])}' was taken out of this conversation. Leave its id out to add it again.",
            param=param,
        )


def remove(scope: Scope, conversation: Conversation, item_id: str, *, actor: str = "api") -> Conversation:
    """Take an item out of a conversation, which is held; the response that it belongs to keeps it."""
    find(scope, conversation, item_id)
    audit.record(scope, "conversation.item_removed", conversation.id, actor=actor)
    left = [item for item in conversation.items if item.id != item_id]
    gone = (
        conversation.removed
        if len(left) < len(conversation.items)
        else [*(conversation.removed or []), item_id]
    )
    return change(scope, conversation.model_copy(update={"items": left, "removed": gone}))


def find(scope: Scope, conversation: Conversation, item_id: str) -> Item:
    """One item of a conversation."""
    for item in history(scope, conversation):
        if item.id == item_id:
            return item
    raise NotFound(f"Item with id '{clipped(item_id)}' not found in this conversation.", param="item_id")
