"""`/v1/organization/projects`: an organisation's projects, and the keys of each."""

from collections.abc import Generator
from contextlib import contextmanager
from typing import Annotated

from fastapi import APIRouter, Depends, Response

from afina.api import attempts
from afina.api.attempts import Again
from afina.api.auth import Admin, Caller
from afina.api.body import Body, json_body
from afina.api.queries import After, Limit
from afina.api.rooms import InRooms, Rooms
from afina.api.routes import ThreadedRoute
from afina.errors import InvalidRequest
from afina.schemas.admin import (
    CreateProject,
    KeyOwner,
    OwningAccount,
    ProjectKey,
    ProjectObject,
    UpdateProject,
    UpdateProjectKey,
)
from afina.schemas.record import Deleted, Page
from afina.store import archiving, keys, projects, service_accounts
from afina.store.keys import Key
from afina.store.projects import Project
from afina.store.scope import Scope, System

router = APIRouter(prefix="/organization/projects", route_class=ThreadedRoute)


@contextmanager
def inside(rooms: Rooms, caller: Caller, project_id: str, *, read: bool = False) -> Generator[Scope]:
    """A transaction on behalf of one of the organisation's projects; NotFound where it is archived."""
    open_scope = rooms.database.read if read else rooms.database.scope
    with open_scope(project_id) as scope:
        if scope.organization_id != caller.organization_id:
            raise projects.unknown(project_id)
        yield scope


def shown(project: Project) -> ProjectObject:
    """A project as the wire has it."""
    return ProjectObject(
        id=project.id,
        name=project.name,
        created_at=project.created_at,
        archived_at=project.archived_at,
        status="archived" if project.archived_at is not None else "active",
    )


@router.post("")
def create(
    *,
    caller: Admin,
    rooms: InRooms,
    response: Response,
    again: Again,
    body: Annotated[Body[CreateProject], Depends(json_body(CreateProject))],
) -> ProjectObject:
    """A new project, which has no key yet: a service account brings the first one."""
    organization = caller.organization_id

    def make(scope: Scope) -> tuple[str, Project]:
        system = System(scope.connection)
        made = projects.create(system, organization, body.value.name, actor=caller.key_id)
        return made.id, made

    def find(scope: Scope, project_id: str) -> Project:
        return projects.get(System(scope.connection), organization, project_id)

    with rooms.database.scope(caller.project_id) as scope:
        attempt = again.attempt("organization.projects", body.sha256)
        return shown(attempts.once(scope, attempt, response, find=find, make=make))


@router.get("")
def page(
    *,
    caller: Admin,
    rooms: InRooms,
    limit: Limit,
    after: After = None,
    include_archived: bool = False,
) -> Page[ProjectObject]:
    """The organisation's projects, newest first."""
    with rooms.database.system(read=True) as system:
        found = projects.page(
            system, caller.organization_id, after=after, limit=limit, archived=include_archived
        )
    return Page[ProjectObject].model_validate(
        {**dict(found), "data": [shown(project) for project in found.data]}
    )


@router.get("/{project_id}")
def retrieve(project_id: str, caller: Admin, rooms: InRooms) -> ProjectObject:
    """One project, also an archived one."""
    with rooms.database.system(read=True) as system:
        return shown(projects.get(system, caller.organization_id, project_id))


@router.post("/{project_id}")
def change(
    project_id: str,
    caller: Admin,
    rooms: InRooms,
    body: Annotated[Body[UpdateProject], Depends(json_body(UpdateProject))],
) -> ProjectObject:
    """Give a project another name."""
    with inside(rooms, caller, project_id) as scope:
        if body.value.name is not None:
            projects.rename(scope, body.value.name, actor=caller.key_id)
    return retrieve(project_id, caller, rooms)


@router.post("/{project_id}/archive")
def archive(project_id: str, caller: Admin, rooms: InRooms) -> ProjectObject:
    """Close a project for good; one that is closed stays so."""
    found = retrieve(project_id, caller, rooms)
    if found.status == "archived":
        return found
    with inside(rooms, caller, project_id) as scope:
        archiving.archive(scope, actor=caller.key_id)
    return retrieve(project_id, caller, rooms)


def key_of(scope: Scope, key: Key) -> ProjectKey:
    """A project's key as the wire has it, with the service account that it belongs to."""
    owner = KeyOwner()
    if key.service_account_id is not None:
        account = service_accounts.get(scope, key.service_account_id)
        owning = OwningAccount(
            id=account.id, name=account.name, role=account.role, created_at=account.created_at
        )
        owner = KeyOwner(type="service_account", service_account=owning)
    return ProjectKey(
        id=key.id,
        name=key.name,
        redacted_value=key.redacted,
        created_at=key.created_at,
        expires_at=key.expires_at,
        owner=owner,
    )


@router.get("/{project_id}/api_keys")
def page_keys(
    *,
    project_id: str,
    caller: Admin,
    rooms: InRooms,
    limit: Limit,
    after: After = None,
    owner_project_access: str = "any",
) -> Page[ProjectKey]:
    """The project's keys that have not been deleted, newest first; all of their owners have access."""
    if owner_project_access not in ("active", "inactive", "any"):
        raise InvalidRequest(
            "Invalid 'owner_project_access': supported values are 'active', 'inactive' or 'any'.",
            param="owner_project_access",
            code="invalid_value",
        )
    with inside(rooms, caller, project_id, read=True) as scope:
        found = keys.page(scope, after=after, limit=limit, living=True)
        data = [] if owner_project_access == "inactive" else [key_of(scope, key) for key in found.data]
    return Page[ProjectKey].model_validate({**dict(found), "data": data})


@router.get("/{project_id}/api_keys/{key_id}")
def retrieve_key(project_id: str, key_id: str, caller: Admin, rooms: InRooms) -> ProjectKey:
    """One of the project's keys."""
    with inside(rooms, caller, project_id, read=True) as scope:
        return key_of(scope, keys.living(scope, key_id))


@router.post("/{project_id}/api_keys/{key_id}")
def change_key(
    *,
    project_id: str,
    key_id: str,
    caller: Admin,
    rooms: InRooms,
    body: Annotated[Body[UpdateProjectKey], Depends(json_body(UpdateProjectKey))],
) -> ProjectKey:
    """Say when a key ends, or that it may do all that its role allows, as every key here may."""
    asked = body.value
    if asked.expires_in_seconds is None and asked.scopes is None:
        raise InvalidRequest("Send 'expires_in_seconds' or 'scopes'.", code="missing_required_parameter")
    with inside(rooms, caller, project_id) as scope:
        if asked.expires_in_seconds is None:
            return key_of(scope, keys.living(scope, key_id))
        key = keys.expire(scope, key_id, seconds=asked.expires_in_seconds, actor=caller.key_id)
        return key_of(scope, key)


@router.delete("/{project_id}/api_keys/{key_id}")
def delete_key(project_id: str, key_id: str, caller: Admin, rooms: InRooms) -> Deleted:
    """End a key's life at once; the last owner's key stays."""
    with inside(rooms, caller, project_id) as scope:
        keys.living(scope, key_id)
        keys.revoke(scope, key_id, actor=caller.key_id)
    return Deleted(id=key_id, object="organization.project.api_key.deleted")
