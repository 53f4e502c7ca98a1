"""The queue of everything asynchronous: a claim is a lease with a fence, and a lower fence is refused.

A lease lives by the database's clock. A subject has at most one row; its fence only grows, also across rows.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from sqlalchemy import ColumnElement, FromClause, and_, case, func, or_, select, update
from sqlalchemy import delete as delete_from

from afina.errors import FenceLost
from afina.store.clock import Now
from afina.store.rows import named, upsert
from afina.store.scope import Scope, System
from afina.store.tables import fences, projects, work


@dataclass(frozen=True)
class Claim:
    """The right to work on a subject while the lease lives and no higher fence exists."""

    subject: str
    kind: str
    project_id: str
    owner: str
    fence: int
    attempts: int


def enqueue(scope: Scope, subject: str, kind: str, *, delay: float = 0.0) -> None:
    """Ask for work on a subject, `delay` seconds from now; what is in the queue is asked for anew."""
    before = select(fences.c.fence).where(fences.c.subject == subject).scalar_subquery()
    wanted = {"kind": kind, "run_after": Now() + delay}
    statement = upsert(scope, work).values(
        subject=subject, project_id=scope.project_id, attempts=0, fence=func.coalesce(before, 0), **wanted
    )
    mine = work.c.project_id == scope.project_id
    statement = statement.on_conflict_do_update(index_elements=["subject"], set_=wanted, where=mine)
    scope.connection.execute(statement)


def claim(
    system: System,
    owner: str,
    kinds: Sequence[str],
    *,
    lease_seconds: float,
    spending: Collection[str] = (),
    fresh: Collection[str] = (),
) -> Claim | None:
    """Take the next piece of work of these kinds; None where there is none, or others are just taking it.

    Projects take turns: first the one with the fewest live leases, then the one served longest ago; within a
    project the oldest work comes first. Two claimers never get the same piece. A claim of a kind in `spending`
    spends an attempt, which only an orderly end gives back; of a kind in `fresh`, only work without any is taken.
    """
    spent = case((work.c.kind.in_(spending), 1), else_=0)
    statement = (
        update(work)
        .where(work.c.seq == next_free(kinds, fresh))
        .values(
            lease_owner=owner,
            lease_until=Now() + lease_seconds,
            fence=work.c.fence + 1,
            attempts=work.c.attempts + spent,
        )
        .returning(work)
    )
    row = system.connection.execute(statement).one_or_none()
    if row is None:
        return None
    system.connection.execute(update(projects).where(projects.c.id == row.project_id).values(served_at=Now()))
    attempts = row.attempts - (row.kind in spending)
    return Claim(row.subject, row.kind, row.project_id, owner, row.fence, attempts)


def next_free(kinds: Sequence[str], fresh: Collection[str]) -> ColumnElement[int]:
    """The `seq` of the oldest free piece of work of the project whose turn it is."""
    waiting = work.alias("waiting")
    query = select(waiting.c.seq).where(
        waiting.c.project_id == next_project(kinds, fresh), free(waiting, kinds, fresh)
    )
    query = query.order_by(waiting.c.seq).limit(1)
    return query.with_for_update(of=waiting, skip_locked=True).scalar_subquery()


def next_project(kinds: Sequence[str], fresh: Collection[str]) -> ColumnElement[str]:
    """The project whose turn it is, of those that have free work."""
    live = (
        select(work.c.project_id, func.count().label("leases"))
        .where(work.c.lease_until > Now(), work.c.kind.in_(kinds))
        .group_by(work.c.project_id)
        .subquery("live")
    )
    offered = work.alias("offered")
    has_work = select(1).where(offered.c.project_id == projects.c.id, free(offered, kinds, fresh)).exists()
    query = select(projects.c.id).outerjoin(live, live.c.project_id == projects.c.id)
    query = query.where(has_work, projects.c.archived_at.is_(None))
    turn = (func.coalesce(live.c.leases, 0), func.coalesce(projects.c.served_at, 0), projects.c.seq)
    return query.order_by(*turn).limit(1).scalar_subquery()


def free(queue: FromClause, kinds: Sequence[str], fresh: Collection[str]) -> ColumnElement[bool]:
    """Work of these kinds whose time has come and that nobody holds."""
    untried = or_(queue.c.kind.not_in(fresh), queue.c.attempts == 0)
    unheld = or_(queue.c.lease_until.is_(None), queue.c.lease_until <= Now())
    return and_(queue.c.kind.in_(kinds), queue.c.run_after <= Now(), unheld, untried)


def held(subject: str, fence: int) -> ColumnElement[bool]:
    """The row of a subject, where this fence is the highest and its lease lives."""
    return and_(work.c.subject == subject, work.c.fence == fence, work.c.lease_until > Now())


def renew(system: System, claim: Claim, lease_seconds: float) -> bool:
    """Let a living lease end later; False where it is lost, and then its holder must stop."""
    statement = update(work).where(held(claim.subject, claim.fence)).values(lease_until=Now() + lease_seconds)
    return system.connection.execute(statement).rowcount == 1


def holds(scope: Scope, subject: str, fence: int) -> bool:
    """Whether this fence has the work; nobody can take it before the transaction ends."""
    query = select(work.c.seq).where(held(subject, fence), work.c.project_id == scope.project_id)
    return scope.connection.execute(query.with_for_update()).first() is not None


def require(scope: Scope, subject: str, fence: int) -> None:
    """Raise FenceLost unless this fence has the work until the transaction ends."""
    if not holds(scope, subject, fence):
        raise FenceLost(f"The work on {subject} is no longer held with fence {fence}: stop writing.")


def hand_on(scope: Scope, claim: Claim, kind: str) -> None:
    """The work becomes its next kind, free to be claimed, with no failed attempt yet."""
    require(scope, claim.subject, claim.fence)
    free = {"lease_owner": None, "lease_until": None, "attempts": 0, "run_after": Now()}
    scope.connection.execute(update(work).where(work.c.subject == claim.subject).values(kind=kind, **free))


def came_further(scope: Scope, subject: str, fence: int) -> None:
    """Earlier attempts are forgiven; the one under way stays spent until it ends."""
    row = held(subject, fence) & (work.c.project_id == scope.project_id) & (work.c.attempts > 1)
    scope.connection.execute(update(work).where(row).values(attempts=1))


def release(system: System, claim: Claim, *, delay: float = 0.0, attempts: int | None = None) -> bool:
    """Give the work back, to be claimed again after `delay` seconds; False where it was lost before.

    So many `attempts` have failed; where it is not said, as many as before the claim.
    """
    free: dict[str, object] = {"lease_owner": None, "lease_until": None, "run_after": Now() + delay}
    free["attempts"] = claim.attempts if attempts is None else attempts
    statement = update(work).where(held(claim.subject, claim.fence)).values(free)
    return system.connection.execute(statement).rowcount == 1


def release_owner(system: System, owner: str) -> int:
    """End the leases of a worker that has died, or of all whose names begin with its name and a colon, at once."""
    statement = (
        update(work).where(named(work.c.lease_owner, owner)).values(lease_owner=None, lease_until=None)
    )
    return system.connection.execute(statement).rowcount


def finish(scope: Scope, claim: Claim) -> None:
    """The work is done and leaves the queue; a claim that was lost finishes nothing."""
    if holds(scope, claim.subject, claim.fence):
        remove(scope, claim.subject)


def remove_all(scope: Scope) -> None:
    """Empty the project's queue."""
    subjects = select(work.c.subject).where(work.c.project_id == scope.project_id)
    for subject in scope.connection.execute(subjects).scalars().all():
        remove(scope, subject)


def remove(scope: Scope, subject: str) -> None:
    """Take a subject out of the queue: whoever holds it has lost it, and no later fence will be theirs."""
    row = (work.c.subject == subject) & (work.c.project_id == scope.project_id)
    removed = delete_from(work).where(row).returning(work.c.fence)
    fence = scope.connection.execute(removed).scalar_one_or_none()
    if fence is None:
        return
    statement = upsert(scope, fences).values(subject=subject, fence=fence)
    scope.connection.execute(
        statement.on_conflict_do_update(index_elements=["subject"], set_={"fence": statement.excluded.fence})
    )
