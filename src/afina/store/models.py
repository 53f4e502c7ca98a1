"""Models and the names by which they are reached: exactly, by the project's alias, by the global alias."""

from sqlalchemy import ColumnElement, or_, select, union_all, update
from sqlalchemy import insert as insert_into

from afina.errors import InvalidRequest, NotFound, PermissionDenied, clipped
from afina.schemas.models import Model
from afina.schemas.record import Page
from afina.store import audit, permissions
from afina.store.jobs import UNFINISHED
from afina.store.pages import page as page_of
from afina.store.rows import from_row, to_row, upsert
from afina.store.scope import Scope, System, Transaction
from afina.store.tables import aliases, jobs, models


def insert(scope: Scope, model: Model) -> Model:
    """Add a model of this project, in the transaction that makes its job succeed."""
    mine = model.model_copy(update={"project_id": scope.project_id})
    scope.connection.execute(insert_into(models).values(to_row(models, mine)))
    return mine


def register(system: System, model: Model) -> None:
    """Add a base for all projects, or bring its row up to date."""
    row = to_row(models, model.model_copy(update={"project_id": None}))
    statement = upsert(system, models).values(row)
    system.connection.execute(statement.on_conflict_do_update(index_elements=["id"], set_=row))


def get(scope: Scope, name: str) -> Model:
    """The model with exactly this id, the project's own or a global one, that is ready."""
    found = find(scope, name)
    if found is None:
        raise unknown(name)
    return found


def resolve(scope: Scope, name: str) -> Model:
    """The model that a name in a request means: exactly, by the project's alias, by the global alias."""
    found = find(scope, name)
    target = None if found else alias_target(scope, name)
    found = find(scope, target) if target else found
    if found is None:
        raise unknown(name)
    return found


def find(scope: Scope, model_id: str) -> Model | None:
    """A ready model by its id."""
    query = select(models).where(visible(scope), models.c.id == model_id, models.c.status == "ready")
    row = scope.connection.execute(query).one_or_none()
    return None if row is None else from_row(Model, row)


def base(transaction: Transaction, name: str) -> Model:
    """The ready model with this id whose weights are all its own; whoever may use what needs it may use it."""
    own = (models.c.id == name) & (models.c.base == name)
    query = select(models).where(own, models.c.status == "ready")
    row = transaction.connection.execute(query).one_or_none()
    if row is None:
        raise unknown(name)
    return from_row(Model, row)


def needing(transaction: Transaction, base_id: str) -> list[str]:
    """Ids of the ready models and unfinished jobs of all projects that need this one's weights."""
    beside = (models.c.base == base_id) & (models.c.id != base_id) & (models.c.status == "ready")
    going_on = (jobs.c.model == base_id) & jobs.c.status.in_(UNFINISHED)
    both = union_all(select(models.c.id).where(beside), select(jobs.c.id).where(going_on))
    return list(transaction.connection.execute(both).scalars())


def visible(scope: Scope) -> ColumnElement[bool]:
    """The project's own models, those of all projects, and those that others share with it."""
    own = models.c.project_id == scope.project_id
    return or_(own, models.c.project_id.is_(None), permissions.shared_with(scope))


def unknown(name: str) -> NotFound:
    """Not there, not ready, or not yours."""
    return NotFound(
        f"The model `{clipped(name)}` does not exist or you do not have access to it.",
        param="model",
        code="model_not_found",
    )


def page(
    scope: Scope, *, after: str | None = None, limit: int = 10_000, ascending: bool = False
) -> Page[Model]:
    """All models that a request of this project can name by their id, newest first."""
    ready = models.c.status == "ready"
    return page_of(
        scope, models, Model, mine=visible(scope), where=ready, after=after, limit=limit, ascending=ascending
    )


def delete(scope: Scope, model_id: str, *, actor: str = "api") -> Model:
    """Take one of the project's models out of service; its name is never given again. A base is refused."""
    model = get(scope, model_id)
    if model.kind == "base":
        raise PermissionDenied(
            "A base model belongs to the installation and cannot be deleted here.", param="model"
        )
    if model.project_id != scope.project_id:
        raise PermissionDenied("Only the project that a model belongs to can delete it.", param="model")
    if count := len(needing(scope, model_id)):
        raise InvalidRequest(
            f"The model {model_id} is the base of {count} tuned models or unfinished jobs. "
            "Delete or cancel those first.",
            param="model",
            code="model_in_use",
        )
    scope.connection.execute(update(models).where(models.c.id == model_id).values(status="deleted"))
    audit.record(scope, "model.deleted", model_id, actor=actor)
    return model.model_copy(update={"status": "deleted"})


def alias(transaction: Transaction, name: str, model_id: str) -> None:
    """Let `name` mean a model: for one project in a Scope, for all of them in a System."""
    project_id = transaction.project_id if isinstance(transaction, Scope) else None
    statement = upsert(transaction, aliases).values(name=name, model=model_id, project_id=project_id)
    if project_id is None:
        statement = statement.on_conflict_do_update(
            index_elements=["name"], index_where=aliases.c.project_id.is_(None), set_={"model": model_id}
        )
    else:
        statement = statement.on_conflict_do_update(
            index_elements=["project_id", "name"], set_={"model": model_id}
        )
    transaction.connection.execute(statement)


def alias_unless_taken(system: System, name: str, model_id: str) -> None:
    """Let `name` mean a model to all projects, unless an operator has said what it means."""
    statement = upsert(system, aliases).values(name=name, model=model_id, project_id=None)
    system.connection.execute(statement.on_conflict_do_nothing())


def global_alias(system: System, name: str) -> str | None:
    """The id behind a name that means the same to all projects; None where it is no such name."""
    query = select(aliases.c.model).where(aliases.c.name == name, aliases.c.project_id.is_(None))
    return system.connection.execute(query).scalar_one_or_none()


def alias_target(scope: Scope, name: str) -> str | None:
    """The id behind an alias; the project's own comes before the global one."""
    own = aliases.c.project_id == scope.project_id
    query = select(aliases.c.model).where(aliases.c.name == name, or_(own, aliases.c.project_id.is_(None)))
    query = query.order_by(aliases.c.project_id.is_(None)).limit(1)
    return scope.connection.execute(query).scalar_one_or_none()
