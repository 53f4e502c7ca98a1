"""Which base models are wanted, and where the host of each one listens. One host for a base."""

from collections.abc import Mapping
from typing import Literal

from sqlalchemy import ColumnElement, or_, select, update

from afina.schemas.record import Record
from afina.store.clock import Now
from afina.store.rows import from_row, named, upsert
from afina.store.scope import System
from afina.store.tables import hosts, models

FRESH_SECONDS = 5.0  # a wish this young is not written again: chatting must not mean writing

DELETED = select(models.c.id).where(models.c.status == "deleted")
NOBODY: Mapping[str, object] = {
    "status": "wanted",
    "owner": None,
    "address": None,
    "pid": None,
    "ready_at": None,
}


class Host(Record):
    """A host as its row tells; `address` is `unix:/path` or `http://...`, times are the database's."""

    base: str
    status: Literal["wanted", "starting", "ready"]
    address: str | None = None
    pid: int | None = None
    owner: str | None = None
    wanted_at: float
    ready_at: float | None = None


def want(system: System, base: str) -> None:
    """Somebody needs this base now."""
    statement = upsert(system, hosts).values(base=base, status="wanted", wanted_at=Now())
    stale = hosts.c.wanted_at < Now() - FRESH_SECONDS
    system.connection.execute(
        statement.on_conflict_do_update(index_elements=["base"], set_={"wanted_at": Now()}, where=stale)
    )


def address(system: System, base: str) -> str | None:
    """Where the base is served, or None while it is not ready."""
    query = select(hosts.c.address).where(hosts.c.base == base, hosts.c.status == "ready")
    return system.connection.execute(query).scalar_one_or_none()


def starting(system: System, base: str, owner: str) -> bool:
    """Take it upon oneself to start the host of a base; False where somebody else has."""
    return take(system, base, owner, {"status": "starting", "address": None, "pid": None, "ready_at": None})


def ready(system: System, base: str, owner: str, *, address: str, pid: int | None = None) -> bool:
    """The host of this owner answers; False where the base has another owner's."""
    return take(system, base, owner, {"status": "ready", "address": address, "pid": pid, "ready_at": Now()})


def take(system: System, base: str, owner: str, values: Mapping[str, object]) -> bool:
    """Write the row of a base that is nobody's, or this owner's already."""
    mine = or_(hosts.c.owner.is_(None), hosts.c.owner == owner)
    row = {"owner": owner, **values}
    statement = upsert(system, hosts).values(base=base, wanted_at=Now(), **row)
    statement = statement.on_conflict_do_update(index_elements=["base"], set_=row, where=mine)
    return system.connection.execute(statement.returning(hosts.c.base)).first() is not None


def gone(system: System, base: str, owner: str) -> bool:
    """The host has ended; who needs the base may start another. False where it was not this owner's."""
    return change(system, (hosts.c.base == base) & (hosts.c.owner == owner), NOBODY) == 1


def gone_with(system: System, owner: str) -> int:
    """The hosts of a worker that has died, or of all whose names begin with its name and a colon, died with it."""
    return change(system, named(hosts.c.owner, owner), NOBODY)


def change(system: System, where: ColumnElement[bool], values: Mapping[str, object]) -> int:
    """Write into the rows of some hosts; returns how many there were."""
    return system.connection.execute(update(hosts).where(where).values(values)).rowcount


def wanted(system: System, *, within_seconds: float) -> list[str]:
    """Bases that nobody is starting and that somebody asked for lately, the latest wish first."""
    query = select(hosts.c.base).where(hosts.c.status == "wanted", hosts.c.wanted_at > Now() - within_seconds)
    query = query.where(hosts.c.base.not_in(DELETED)).order_by(hosts.c.wanted_at.desc())
    return list(system.connection.execute(query).scalars())


def left(system: System, owner: str, *, idle_seconds: float) -> list[str]:
    """An owner's hosts of models that are deleted, or that were tuned and that nobody has asked for lately."""
    idle = (models.c.kind != "base") & (hosts.c.wanted_at < Now() - idle_seconds)
    query = select(hosts.c.base).join(models, models.c.id == hosts.c.base)
    query = query.where(hosts.c.owner == owner, or_(models.c.status == "deleted", idle))
    return list(system.connection.execute(query).scalars())


def every(system: System) -> list[Host]:
    """All hosts, the least recently wanted first: the order in which they give up their memory."""
    rows = system.connection.execute(select(hosts).order_by(hosts.c.wanted_at))
    return [from_row(Host, row) for row in rows]
