"""`/v1/models`: list, retrieve, delete. Ids may hold colons and slashes, escaped or not."""

from fastapi import APIRouter, BackgroundTasks

from afina.api.auth import Owner, Viewer
from afina.api.rooms import InRooms
from afina.api.routes import ThreadedRoute
from afina.schemas.models import Model
from afina.schemas.record import Deleted, Page
from afina.store import models

router = APIRouter(prefix="/models", route_class=ThreadedRoute)


@router.get("")
def page(caller: Viewer, rooms: InRooms) -> Page[Model]:
    """Every model that a request can name: bases, the project's own tuned models and their checkpoints."""
    with rooms.database.read(caller.project_id) as scope:
        return models.page(scope)


@router.get("/{model:path}")
def retrieve(model: str, caller: Viewer, rooms: InRooms) -> Model:
    """One model, under the name that was asked for."""
    target = rooms.router.find(caller.project_id, model)
    return target.resolved.model_copy(update={"id": model})


@router.delete("/{model:path}")
def delete(model: str, caller: Owner, rooms: InRooms, background: BackgroundTasks) -> Deleted:
    """Take a tuned model out of service; replies that are on their way are finished."""
    with rooms.database.scope(caller.project_id) as scope:
        deleted = models.delete(scope, model, actor=caller.key_id)
    background.add_task(rooms.router.forget, deleted)
    return Deleted(id=deleted.id, object="model")
