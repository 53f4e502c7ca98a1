"""Organisations and their projects; the first of each is made when an installation is new."""

from sqlalchemy import insert, select, update

from afina import ids
from afina.errors import NotFound, clipped
from afina.schemas.record import Page, Record
from afina.store import audit, clock, keys
from afina.store.pages import page as page_of
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


def create(system: System, organization_id: str, name: str, *, actor: str = "operator") -> Project:
    """A new project of an organisation."""
    now = clock.seconds(system)
    project = Project(id=ids.prefixed("proj_"), organization_id=organization_id, name=name, created_at=now)
    system.connection.execute(insert(projects).values(to_row(projects, project)))
    scope = Scope(system.connection, project.id, organization_id)
    audit.record(scope, "project.created", project.id, actor=actor)
    return project


def first(system: System, organization_id: str) -> Project:
    """The project that an organisation was founded with; its owners act for the whole of it."""
    query = select(projects).where(projects.c.organization_id == organization_id)
    row = system.connection.execute(query.order_by(projects.c.seq).limit(1)).one()
    return from_row(Project, row)


def get(system: System, organization_id: str, project_id: str) -> Project:
    """One of an organisation's projects, archived ones too."""
    mine = projects.c.organization_id == organization_id
    row = system.connection.execute(select(projects).where(mine, projects.c.id == project_id)).one_or_none()
    if row is None:
        raise unknown(project_id)
    return from_row(Project, row)


def unknown(project_id: str) -> NotFound:
    """Not there, or not this organisation's."""
    return NotFound(f"No such project: {clipped(project_id)}", param="project_id")


def page(
    system: System, organization_id: str, *, after: str | None, limit: int, archived: bool
) -> Page[Project]:
    """An organisation's projects, newest first; archived ones only where they are asked for."""
    mine = projects.c.organization_id == organization_id
    where = None if archived else projects.c.archived_at.is_(None)
    return page_of(system, projects, Project, mine=mine, where=where, after=after, limit=limit)


def rename(scope: Scope, name: str, *, actor: str) -> None:
    """Give the project another name."""
    scope.connection.execute(update(projects).where(projects.c.id == scope.project_id).values(name=name))
    audit.record(scope, "project.renamed", scope.project_id, actor=actor)


def every(system: System) -> list[Project]:
    """All projects, oldest first."""
    rows = system.connection.execute(select(projects).order_by(projects.c.seq))
    return [from_row(Project, row) for row in rows]


def organization(scope: Scope) -> Organization:
    """The organisation that this project belongs to."""
    query = select(organizations).where(organizations.c.id == scope.organization_id)
    return from_row(Organization, scope.connection.execute(query).one())
