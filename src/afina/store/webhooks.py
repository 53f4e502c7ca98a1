"""Webhook endpoints: whom a project's events are told to, and by which secret they are signed."""

from sqlalchemy import delete as delete_from
from sqlalchemy import func, select, update
from sqlalchemy import insert as insert_into

from afina import ids
from afina.errors import InvalidRequest, NotFound, clipped
from afina.schemas.record import Page
from afina.schemas.webhooks import Endpoint
from afina.store import audit, clock
from afina.store.pages import page as page_of
from afina.store.rows import from_row, to_row
from afina.store.scope import Scope
from afina.store.tables import webhook_endpoints as table

MOST = 50
OLD_SECRET_SECONDS = 24 * 3600


def insert(scope: Scope, *, name: str, url: str, event_types: list[str], secret: str, actor: str) -> Endpoint:
    """A new endpoint of this project, which is told of events from now on."""
    count = select(func.count()).select_from(table).where(table.c.project_id == scope.project_id)
    if scope.connection.execute(count).scalar_one() >= MOST:
        raise InvalidRequest(f"A project has at most {MOST} webhook endpoints. Delete one first.")
    now = clock.seconds(scope)
    endpoint = Endpoint(
        id=ids.prefixed("we_"),
        created_at=now,
        updated_at=now,
        name=name,
        url=url,
        event_types=event_types,
        project_id=scope.project_id,
        secret=secret,
    )
    scope.connection.execute(insert_into(table).values(to_row(table, endpoint)))
    audit.record(scope, "webhook_endpoint.created", endpoint.id, actor=actor)
    return hinted(endpoint)


def find(scope: Scope, endpoint_id: str) -> Endpoint | None:
    """One of the project's endpoints, or None."""
    query = select(table).where(table.c.project_id == scope.project_id, table.c.id == endpoint_id)
    row = scope.connection.execute(query).one_or_none()
    return None if row is None else hinted(from_row(Endpoint, row))


def get(scope: Scope, endpoint_id: str) -> Endpoint:
    """One of the project's endpoints."""
    if (found := find(scope, endpoint_id)) is None:
        raise NotFound(f"No such webhook endpoint: {clipped(endpoint_id)}", param="webhook_endpoint_id")
    return found


def page(
    scope: Scope, *, after: str | None = None, limit: int = 20, ascending: bool = False
) -> Page[Endpoint]:
    """The project's endpoints, newest first."""
    mine = table.c.project_id == scope.project_id
    found = page_of(scope, table, Endpoint, mine=mine, after=after, limit=limit, ascending=ascending)
    return found.model_copy(update={"data": [hinted(endpoint) for endpoint in found.data]})


def hinted(endpoint: Endpoint) -> Endpoint:
    """With as much of the secret as lets its owner tell it from others."""
    return endpoint.model_copy(update={"signing_secret_hint": f"whsec_...{endpoint.secret[-4:]}"})


def change(scope: Scope, endpoint_id: str, changes: dict[str, object], *, actor: str) -> Endpoint:
    """The endpoint with these fields; where nothing changes, its time of change stays."""
    endpoint = get(scope, endpoint_id)
    fresh = {name: value for name, value in changes.items() if dict(endpoint)[name] != value}
    if not fresh:
        return endpoint
    fresh["updated_at"] = clock.seconds(scope)
    scope.connection.execute(update(table).where(table.c.id == endpoint.id).values(fresh))
    audit.record(
        scope, "webhook_endpoint.changed", endpoint.id, actor=actor, detail={"fields": list(changes)}
    )
    return hinted(endpoint.model_copy(update=fresh))


def rotate(scope: Scope, endpoint_id: str, secret: str, *, keep_old: bool, actor: str) -> Endpoint:
    """The endpoint with a new secret; the old one ends now, or in a day."""
    old = get(scope, endpoint_id)
    until = clock.seconds(scope) + OLD_SECRET_SECONDS if keep_old else None
    kept = {"old_secret": old.secret if keep_old else None, "old_secret_until": until}
    return change(scope, endpoint_id, {"secret": secret, **kept}, actor=actor)


def delete(scope: Scope, endpoint_id: str, *, actor: str) -> None:
    """Take an endpoint away; what waits to be told to it never is."""
    endpoint = get(scope, endpoint_id)
    scope.connection.execute(delete_from(table).where(table.c.id == endpoint.id))
    audit.record(scope, "webhook_endpoint.deleted", endpoint.id, actor=actor)


def told_of(scope: Scope, type: str) -> list[str]:
    """The ids of the project's endpoints that want to hear of a type of event."""
    query = select(table.c.id, table.c.event_types).where(table.c.project_id == scope.project_id)
    rows = scope.connection.execute(query.order_by(table.c.seq))
    return [identifier for identifier, types in rows if type in types]
