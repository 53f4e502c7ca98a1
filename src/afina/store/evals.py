"""Evals: their rows. What is asked never changes; their runs are `eval_runs`."""

from collections.abc import Mapping
from typing import Literal

from sqlalchemy import ColumnElement, select, update
from sqlalchemy import delete as delete_from
from sqlalchemy import insert as insert_into

from afina.errors import NotFound, clipped
from afina.schemas.evals import Eval
from afina.schemas.record import Page
from afina.store import audit, clock, eval_runs
from afina.store.eval_tables import eval_runs as runs_table
from afina.store.eval_tables import evals
from afina.store.pages import page as page_of
from afina.store.rows import columns, from_row, to_row
from afina.store.scope import Scope


def insert(scope: Scope, made: Eval, *, actor: str = "api") -> Eval:
    """Add an eval; it becomes this project's."""
    mine = made.model_copy(update={"project_id": scope.project_id, "updated_at": made.created_at})
    scope.connection.execute(insert_into(evals).values(to_row(evals, mine)))
    audit.record(scope, "eval.created", made.id, actor=actor)
    return mine


def get(scope: Scope, eval_id: str, *, lock: Literal["share", "hold"] | None = None) -> Eval:
    """One eval of this project; until the transaction ends, `share` keeps others from deleting it.

    `hold` also keeps them from sharing it.
    """
    found = find(scope, eval_id, lock=lock)
    if found is None:
        raise NotFound(f"No eval found with id '{clipped(eval_id)}'.", param="eval_id")
    return found


def find(scope: Scope, eval_id: str, *, lock: Literal["share", "hold"] | None = None) -> Eval | None:
    """One eval of this project, if it is there; locked as `get` does."""
    query = select(evals).where(one(scope, eval_id))
    if lock is not None:
        query = query.with_for_update(read=lock == "share")
    row = scope.connection.execute(query).one_or_none()
    return None if row is None else from_row(Eval, row)


def page(
    scope: Scope,
    *,
    after: str | None = None,
    limit: int = 20,
    ascending: bool = True,
    by_update: bool = False,
) -> Page[Eval]:
    """The project's evals by the moment of their creation, or of their last change; oldest first."""
    return page_of(
        scope,
        evals,
        Eval,
        mine=evals.c.project_id == scope.project_id,
        after=after,
        limit=limit,
        ascending=ascending,
        by=evals.c.updated_at if by_update else None,
    )


def change(scope: Scope, eval_id: str, changes: Mapping[str, object]) -> Eval:
    """Another name, other metadata."""
    get(scope, eval_id)
    news = {**changes, "updated_at": clock.seconds(scope)}
    scope.connection.execute(update(evals).where(one(scope, eval_id)).values(columns(evals, news)))
    return get(scope, eval_id)


def delete(scope: Scope, eval_id: str, *, actor: str = "api") -> None:
    """Remove an eval with all its runs; those that go on are stopped."""
    get(
        scope, eval_id, lock="hold"
    )  # who is just adding a run shares the eval: that run is seen here, and goes too
    mine = (runs_table.c.project_id == scope.project_id) & (runs_table.c.eval_id == eval_id)
    for run_id in scope.connection.execute(select(runs_table.c.id).where(mine)).scalars().all():
        eval_runs.delete(scope, eval_id, run_id, actor=actor)
    scope.connection.execute(delete_from(evals).where(one(scope, eval_id)))
    audit.record(scope, "eval.deleted", eval_id, actor=actor)


def one(scope: Scope, eval_id: str) -> ColumnElement[bool]:
    """The row of an eval of this project."""
    return (evals.c.project_id == scope.project_id) & (evals.c.id == eval_id)
