"""`/v1/conversations`: items under one id, which responses go on from and add to."""

from typing import Annotated

from fastapi import APIRouter, Depends, Response
from fastapi.responses import JSONResponse

from afina import ids
from afina.api import attempts
from afina.api.attempts import Again
from afina.api.auth import Member, Viewer
from afina.api.body import Body, json_body
from afina.api.item_pages import item_page
from afina.api.queries import ItemQuery, WhichItems
from afina.api.rooms import InRooms
from afina.api.routes import ThreadedRoute
from afina.schemas.conversations import Conversation, CreateConversation, CreateItems, UpdateConversation
from afina.schemas.record import Deleted
from afina.serving.response_messages import brought, items_of
from afina.store import clock, conversations, idempotency
from afina.store.scope import Scope

router = APIRouter(prefix="/conversations", route_class=ThreadedRoute)


@router.post("")
def create(
    *,
    caller: Member,
    rooms: InRooms,
    response: Response,
    again: Again,
    body: Annotated[Body[CreateConversation], Depends(json_body(CreateConversation))],
) -> Conversation:
    """Begin a conversation, with a few items or none."""
    asked = body.value

    def make(scope: Scope) -> tuple[str, Conversation]:
        conversation = Conversation(
            id=ids.prefixed("conv_"),
            created_at=clock.seconds(scope),
            metadata=asked.metadata or {},
            items=items_of(asked.items),
        )
        return conversation.id, conversations.insert(scope, conversation)

    with rooms.database.scope(caller.project_id) as scope:
        attempt = again.attempt("conversations", body.sha256)
        return attempts.once(scope, attempt, response, find=conversations.get, make=make)


@router.get("/{conversation_id}")
def retrieve(conversation_id: str, caller: Viewer, rooms: InRooms) -> Conversation:
    """One conversation."""
    with rooms.database.read(caller.project_id) as scope:
        return conversations.get(scope, conversation_id)


@router.post("/{conversation_id}")
def update(
    conversation_id: str,
    caller: Member,
    rooms: InRooms,
    body: Annotated[Body[UpdateConversation], Depends(json_body(UpdateConversation))],
) -> Conversation:
    """Change what is attached to it."""
    with rooms.database.scope(caller.project_id) as scope:
        found = conversations.get(scope, conversation_id, hold=True)
        return conversations.change(scope, found.model_copy(update={"metadata": body.value.metadata or {}}))


@router.delete("/{conversation_id}")
def delete(conversation_id: str, caller: Member, rooms: InRooms) -> Deleted:
    """Forget a conversation; its responses stay."""
    with rooms.database.scope(caller.project_id) as scope:
        deleted = conversations.delete(scope, conversation_id, actor=caller.key_id)
    return Deleted(id=deleted.id, object="conversation.deleted")


@router.get("/{conversation_id}/items", response_model=None)
def items(
    *,
    conversation_id: str,
    caller: Viewer,
    rooms: InRooms,
    which: WhichItems,
) -> JSONResponse:
    """All that was said in it."""
    with rooms.database.read(caller.project_id) as scope:
        said = conversations.history(scope, conversations.get(scope, conversation_id))
    return JSONResponse(item_page(said, which).wire())


@router.post("/{conversation_id}/items", response_model=None)
def add(
    *,
    conversation_id: str,
    caller: Member,
    rooms: InRooms,
    response: Response,
    again: Again,
    body: Annotated[Body[CreateItems], Depends(json_body(CreateItems))],
) -> JSONResponse:
    """Add items behind what was said so far."""
    asked = body.value.items
    with rooms.database.scope(caller.project_id) as scope:
        found = conversations.get(scope, conversation_id, hold=True)
        attempt = again.attempt(f"conversations.items {found.id}", body.sha256)
        added = items_of(asked)
        if (known := attempts.replayed(scope, attempt, response)) is not None:
            # An equal body makes equal items: nothing is read, and some may have been taken out since.
            added = [
                item.model_copy(update={"id": known.detail[str(place)]}) for place, item in enumerate(added)
            ]
        else:
            conversations.add(scope, found, added, brought=brought(asked))
            names = {str(place): item.id for place, item in enumerate(added)}
            idempotency.remember(scope, attempt, found.id, detail=names)
    page = item_page(added, ItemQuery(after=None, limit=len(added), ascending=True))
    return JSONResponse(page.wire(), headers=dict(response.headers))


@router.get("/{conversation_id}/items/{item_id}", response_model=None)
def retrieve_item(conversation_id: str, item_id: str, caller: Viewer, rooms: InRooms) -> JSONResponse:
    """One of the things that were said."""
    with rooms.database.read(caller.project_id) as scope:
        item = conversations.find(scope, conversations.get(scope, conversation_id), item_id)
    return JSONResponse(item.model_dump(mode="json"))


@router.delete("/{conversation_id}/items/{item_id}")
def remove_item(conversation_id: str, item_id: str, caller: Member, rooms: InRooms) -> Conversation:
    """Take something out of what is said from now on; the response that it belongs to keeps it."""
    with rooms.database.scope(caller.project_id) as scope:
        found = conversations.get(scope, conversation_id, hold=True)
        return conversations.remove(scope, found, item_id, actor=caller.key_id)
