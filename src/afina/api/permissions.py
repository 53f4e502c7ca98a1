"""`/v1/fine_tuning/checkpoints/{model}/permissions`: let other projects use a tuned model."""

from typing import Annotated, Literal

from fastapi import APIRouter, Depends, Query

from afina.api.auth import Owner, Viewer
from afina.api.body import Body, json_body
from afina.api.queries import After, limited
from afina.api.rooms import InRooms
from afina.api.routes import ThreadedRoute
from afina.schemas.permissions import CheckpointPermission, CreatePermissions
from afina.schemas.record import Deleted, Page
from afina.store import permissions

router = APIRouter(prefix="/fine_tuning/checkpoints/{model:path}/permissions", route_class=ThreadedRoute)


@router.post("")
def create(
    model: str,
    caller: Owner,
    rooms: InRooms,
    body: Annotated[Body[CreatePermissions], Depends(json_body(CreatePermissions))],
) -> Page[CheckpointPermission]:
    """Share a model with projects; one permission for each comes back."""
    with rooms.database.scope(caller.project_id) as scope:
        data = permissions.grant(scope, model, body.value.project_ids, actor=caller.key_id)
    return Page[CheckpointPermission](data=data, first_id=data[0].id, last_id=data[-1].id, has_more=False)


@router.get("")
def page(
    *,
    model: str,
    caller: Viewer,
    rooms: InRooms,
    limit: Annotated[int, Depends(limited(10, 100))],
    after: After = None,
    project_id: Annotated[str | None, Query(max_length=512)] = None,
    order: Literal["ascending", "descending"] = "descending",
) -> Page[CheckpointPermission]:
    """Who may use a model, newest first."""
    with rooms.database.read(caller.project_id) as scope:
        return permissions.page(
            scope, model, project_id=project_id, after=after, limit=limit, ascending=order == "ascending"
        )


@router.delete("/{permission_id}")
def delete(model: str, permission_id: str, caller: Owner, rooms: InRooms) -> Deleted:
    """Take a model away from a project at once."""
    with rooms.database.scope(caller.project_id) as scope:
        permissions.revoke(scope, model, permission_id, actor=caller.key_id)
    return Deleted(id=permission_id, object="checkpoint.permission")
