"""`/v1/chat/completions`, as far as chats were stored: list, retrieve, update, delete, and their messages."""

from typing import Annotated

from fastapi import APIRouter, Depends, Query

from afina.api.auth import Member, Viewer
from afina.api.body import Body, json_body
from afina.api.item_pages import cut
from afina.api.queries import After, ItemQuery, Limit, Order, WithMetadata
from afina.api.rooms import InRooms
from afina.api.routes import ThreadedRoute
from afina.schemas.record import Deleted, Page
from afina.schemas.stored_chats import StoredChat, StoredMessage, UpdateChat
from afina.store import chats

router = APIRouter(prefix="/chat/completions", route_class=ThreadedRoute)


@router.get("")
def page(
    *,
    caller: Viewer,
    rooms: InRooms,
    limit: Limit,
    metadata: WithMetadata,
    model: Annotated[str | None, Query(max_length=256)] = None,
    after: After = None,
    order: Order = "asc",
) -> Page[StoredChat]:
    """The project's stored chats, oldest first."""
    with rooms.database.read(caller.project_id) as scope:
        return chats.page(
            scope,
            after=after,
            limit=limit,
            model=model,
            metadata=metadata.pairs,
            without_metadata=metadata.absent,
            ascending=order == "asc",
        )


@router.get("/{completion_id}")
def retrieve(completion_id: str, caller: Viewer, rooms: InRooms) -> StoredChat:
    """One stored chat, as it was answered."""
    with rooms.database.read(caller.project_id) as scope:
        return chats.get(scope, completion_id)


@router.post("/{completion_id}")
def update(
    completion_id: str,
    caller: Member,
    rooms: InRooms,
    body: Annotated[Body[UpdateChat], Depends(json_body(UpdateChat))],
) -> StoredChat:
    """Replace a stored chat's metadata."""
    with rooms.database.scope(caller.project_id) as scope:
        return chats.label(scope, completion_id, body.value.metadata)


@router.delete("/{completion_id}")
def delete(completion_id: str, caller: Member, rooms: InRooms) -> Deleted:
    """Forget a stored chat; files that were made of it stay."""
    with rooms.database.scope(caller.project_id) as scope:
        chats.delete(scope, completion_id, actor=caller.key_id)
    return Deleted(id=completion_id, object="chat.completion.deleted")


@router.get("/{completion_id}/messages")
def page_messages(
    *,
    completion_id: str,
    caller: Viewer,
    rooms: InRooms,
    limit: Limit,
    after: After = None,
    order: Order = "asc",
) -> Page[StoredMessage]:
    """The messages that a stored chat answered, in the order in which they were said."""
    with rooms.database.read(caller.project_id) as scope:
        chat = chats.get(scope, completion_id)
    shown, has_more = cut(chat.messages, ItemQuery(after, limit, ascending=order == "asc"))
    return Page[StoredMessage](
        data=shown,
        first_id=shown[0].id if shown else None,
        last_id=shown[-1].id if shown else None,
        has_more=has_more,
    )
