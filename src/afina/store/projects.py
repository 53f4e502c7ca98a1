"""Organisations and their projects; the first of each is made when an installation is new."""

from sqlalchemy import insert, select

from afina import ids
from afina.schemas.record import Record
from afina.store import clock, keys
from afina.store.rows import from_row, to_row
from afina.store.scope import Scope, System
from afina.store.tables import organizations, projects


class Organization(Record):
    """Who owns projects; the slug is a part of its models' names."""

    id: str
    slug: str
    name: str


class Project(Record):
    """What every row belongs to."""

    id: str
    organization_id: str
    name: str
    created_at: int
    archived_at: int | None = None


def create_first(system: System, secret: str) -> bool:
    """One organisation, one project and its owner's key; True where the installation was new.

    Where there is an organisation already, nothing changes and `secret` is not stored.
    """
    if system.connection.execute(select(organizations.c.id).limit(1)).first() is not None:
        return False
    organization = Organization(id=ids.prefixed("org-"), slug="personal", name="Personal")
    system.connection.execute(insert(organizations).values(to_row(organizations, organization)))
    project = create(system, organization.id, "Default project")
    keys.insert(
        Scope(system.connection, project.id, organization.id),
        secret,
        name="owner",
        role="owner",
        actor="first start",
    )
    return True


def create(system: System, organization_id: str, name: str) -> Project:
    """A new project of an organisation."""
    now = clock.seconds(system)
    project = Project(id=ids.prefixed("proj_"), organization_id=organization_id, name=name, created_at=now)
    system.connection.execute(insert(projects).values(to_row(projects, project)))
    return project


def every(system: System) -> list[Project]:
    """All projects, oldest first."""
    rows = system.connection.execute(select(projects).order_by(projects.c.seq))
    return [from_row(Project, row) for row in rows]


def organization(scope: Scope) -> Organization:
    """The organisation that this project belongs to."""
    query = select(organizations).where(organizations.c.id == scope.organization_id)
    return from_row(Organization, scope.connection.execute(query).one())
