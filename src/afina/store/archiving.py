"""The end of a project: whatever goes on in it is stopped in the transaction that archives it."""

from sqlalchemy import update

from afina.errors import InvalidRequest
from afina.store import audit, batches, clock, eval_runs, jobs, moves, projects, responses, work
from afina.store.scope import Scope, System
from afina.store.tables import projects as table


def archive(scope: Scope, *, actor: str) -> None:
    """Close the project for good: its work ends, its keys are as good as revoked, its rows stay."""
    if projects.first(System(scope.connection), scope.organization_id).id == scope.project_id:
        raise InvalidRequest("The organization's first project cannot be archived.", code="invalid_state")
    stop(scope, actor=actor)
    now = clock.seconds(scope)
    scope.connection.execute(update(table).where(table.c.id == scope.project_id).values(archived_at=now))
    audit.record(scope, "project.archived", scope.project_id, actor=actor)


def stop(scope: Scope, *, actor: str) -> None:
    """Cancel all that has not ended; who works on it loses its claim, and nobody is told by webhook any more."""
    for job_id in jobs.going_on(scope):
        event = "The job has been cancelled: its project was archived"
        moves.move(scope, job_id, "cancelled", fence=None, event=event, actor=actor)
    for batch_id in batches.going_on(scope):
        batches.abandon(scope, batch_id, actor=actor)
    for response_id in responses.going_on(scope):
        responses.cancel(scope, response_id)
    for run in eval_runs.going_on(scope):
        eval_runs.move(scope, run, "canceled", fence=None, actor=actor)
    work.remove_all(scope)
