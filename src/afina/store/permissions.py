"""Checkpoint permissions: which other projects may use a project's tuned model."""

from collections.abc import Sequence

from sqlalchemy import ColumnElement, select
from sqlalchemy import delete as delete_from

from afina import ids
from afina.errors import InvalidRequest, NotFound, clipped
from afina.schemas.models import Model
from afina.schemas.permissions import CheckpointPermission
from afina.schemas.record import Page
from afina.store import audit, clock
from afina.store.pages import page as page_of
from afina.store.rows import from_row, upsert
from afina.store.scope import Scope
from afina.store.tables import checkpoint_permissions as table
from afina.store.tables import models, projects


def owned(scope: Scope, model_id: str) -> Model:
    """A tuned model or checkpoint of this project, ready to be shared."""
    query = select(models).where(
        models.c.project_id == scope.project_id, models.c.id == model_id, models.c.status == "ready"
    )
    row = scope.connection.execute(query).one_or_none()
    if row is None:
        raise NotFound(
            f"The model `{clipped(model_id)}` does not exist or you do not have access to it.",
            param="fine_tuned_model_checkpoint",
            code="model_not_found",
        )
    return from_row(Model, row)


def grant(
    scope: Scope, model_id: str, project_ids: Sequence[str], *, actor: str
) -> list[CheckpointPermission]:
    """Let other projects of the organisation use a model; a permission that is there already stays as it is."""
    model = owned(scope, model_id)
    check(scope, project_ids)
    now = clock.seconds(scope)
    for project_id in project_ids:
        row = {
            "id": ids.prefixed("cp_"),
            "project_id": project_id,
            "owner_project_id": scope.project_id,
            "model": model.id,
            "created_at": now,
        }
        scope.connection.execute(upsert(scope, table).values(row).on_conflict_do_nothing())
    audit.record(scope, "model.shared", model.id, actor=actor, detail={"projects": list(project_ids)})
    query = select(table).where(mine(scope, model.id), table.c.project_id.in_(project_ids))
    return [
        from_row(CheckpointPermission, row)
        for row in scope.connection.execute(query.order_by(table.c.seq.desc()))
    ]


def check(scope: Scope, project_ids: Sequence[str]) -> None:
    """Refuse projects that are named twice, that are this one, or that are not the organisation's."""
    if len(set(project_ids)) < len(project_ids):
        raise InvalidRequest("Invalid 'project_ids': each project may be named once.", param="project_ids")
    if scope.project_id in project_ids:
        raise InvalidRequest("Invalid 'project_ids': the model is this project's own.", param="project_ids")
    known = select(projects.c.id).where(
        projects.c.organization_id == scope.organization_id,
        projects.c.archived_at.is_(None),
        projects.c.id.in_(project_ids),
    )
    found = set(scope.connection.execute(known).scalars())
    for project_id in project_ids:
        if project_id not in found:
            raise NotFound(f"No such project: {clipped(project_id)}", param="project_ids")


def mine(scope: Scope, model_id: str) -> ColumnElement[bool]:
    """The permissions that this project has given for a model."""
    return (table.c.owner_project_id == scope.project_id) & (table.c.model == model_id)


def page(
    scope: Scope,
    model_id: str,
    *,
    project_id: str | None = None,
    after: str | None = None,
    limit: int = 10,
    ascending: bool = False,
) -> Page[CheckpointPermission]:
    """Who may use a model of this project, newest first."""
    owned(scope, model_id)
    where = None if project_id is None else table.c.project_id == project_id
    return page_of(
        scope,
        table,
        CheckpointPermission,
        mine=mine(scope, model_id),
        where=where,
        after=after,
        limit=limit,
        ascending=ascending,
    )


def revoke(scope: Scope, model_id: str, permission_id: str, *, actor: str) -> None:
    """Take a permission back: from the next request on the model is not there for that project."""
    owned(scope, model_id)
    gone = delete_from(table).where(mine(scope, model_id), table.c.id == permission_id)
    if scope.connection.execute(gone).rowcount == 0:
        raise NotFound(f"No such permission: {clipped(permission_id)}", param="permission_id")
    audit.record(scope, "model.unshared", model_id, actor=actor, detail={"permission": permission_id})


def shared_with(scope: Scope) -> ColumnElement[bool]:
    """Models of other projects that this one may use."""
    return models.c.id.in_(select(table.c.model).where(table.c.project_id == scope.project_id))
