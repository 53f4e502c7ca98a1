"""Who a transaction acts for: a Scope for one project, a System for all of them.

Two types, so that a function which crosses projects cannot be called with a project's scope by mistake.
"""

from dataclasses import dataclass

from sqlalchemy import Connection


@dataclass(frozen=True)
class Transaction:
    """One open transaction; it commits when the `with` block that made it ends."""

    connection: Connection


@dataclass(frozen=True)
class Scope(Transaction):
    """A transaction that sees and writes the rows of one project."""

    project_id: str
    organization_id: str


@dataclass(frozen=True)
class System(Transaction):
    """A transaction that belongs to no project: keys by hash, claims, hosts, checks, the first start."""
