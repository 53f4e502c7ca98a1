"""`/v1/webhook_endpoints`: who is told when something ends. A secret is shown when it is made, and never again."""

import time
from typing import Annotated, get_args

from fastapi import APIRouter, Depends, Response
from fastapi.concurrency import run_in_threadpool

from afina import deliveries, ids
from afina.api import attempts
from afina.api.attempts import Again
from afina.api.auth import Owner, Viewer
from afina.api.body import Body, json_body
from afina.api.callers import Caller
from afina.api.queries import After, Limit
from afina.api.rooms import InRooms, Rooms
from afina.api.routes import ThreadedRoute
from afina.deliveries import Policy, Undelivered
from afina.errors import InvalidRequest
from afina.schemas.record import Deleted, Page
from afina.schemas.webhooks import (
    CreateEndpoint,
    Endpoint,
    EndpointWithSecret,
    EventSubject,
    EventType,
    EventTypeList,
    RotateSecret,
    Tried,
    TryEndpoint,
    UpdateEndpoint,
    WebhookEvent,
)
from afina.store import webhooks
from afina.store.scope import Scope

router = APIRouter(route_class=ThreadedRoute)


def policy(rooms: InRooms) -> Policy:
    """Where this installation's deliveries may go."""
    return Policy.read(rooms.settings.webhook_hosts)


Allowed = Annotated[Policy, Depends(policy)]


@router.post("/webhook_endpoints")
def create(
    *,
    caller: Owner,
    rooms: InRooms,
    response: Response,
    again: Again,
    allowed: Allowed,
    body: Annotated[Body[CreateEndpoint], Depends(json_body(CreateEndpoint))],
) -> EndpointWithSecret:
    """Have events told to an address from now on."""
    asked, attempt = body.value, again.attempt("webhook_endpoints", body.sha256)
    allowed.check(asked.url)

    def make(scope: Scope) -> tuple[str, Endpoint]:
        made = webhooks.insert(
            scope,
            name=asked.name,
            url=asked.url,
            event_types=list(asked.event_types),
            secret=deliveries.new_secret(),
            actor=caller.key_id,
        )
        return made.id, made

    with rooms.database.scope(caller.project_id) as scope:
        return with_secret(attempts.once(scope, attempt, response, find=webhooks.get, make=make))


def with_secret(endpoint: Endpoint) -> EndpointWithSecret:
    """An endpoint as it is shown to who has just made or changed its secret."""
    return EndpointWithSecret(**dict(endpoint), signing_secret=endpoint.secret)


@router.get("/webhook_endpoints")
def page(caller: Viewer, rooms: InRooms, limit: Limit, after: After = None) -> Page[Endpoint]:
    """The project's endpoints, newest first."""
    with rooms.database.read(caller.project_id) as scope:
        return webhooks.page(scope, after=after, limit=limit)


@router.get("/webhook_endpoints/{endpoint_id}")
def retrieve(endpoint_id: str, caller: Viewer, rooms: InRooms) -> Endpoint:
    """One endpoint, without its secret."""
    return found(rooms, caller, endpoint_id)


def found(rooms: Rooms, caller: Caller, endpoint_id: str) -> Endpoint:
    """One endpoint of the caller's project."""
    with rooms.database.read(caller.project_id) as scope:
        return webhooks.get(scope, endpoint_id)


@router.post("/webhook_endpoints/{endpoint_id}")
def change(
    *,
    endpoint_id: str,
    caller: Owner,
    rooms: InRooms,
    allowed: Allowed,
    body: Annotated[Body[UpdateEndpoint], Depends(json_body(UpdateEndpoint))],
) -> Endpoint:
    """Change what is named in the body."""
    asked = body.value
    if asked.url is not None:
        allowed.check(asked.url)
    with rooms.database.scope(caller.project_id) as scope:
        return webhooks.change(scope, endpoint_id, asked.model_dump(exclude_none=True), actor=caller.key_id)


@router.delete("/webhook_endpoints/{endpoint_id}")
def delete(endpoint_id: str, caller: Owner, rooms: InRooms) -> Deleted:
    """Tell an address nothing more."""
    with rooms.database.scope(caller.project_id) as scope:
        webhooks.delete(scope, endpoint_id, actor=caller.key_id)
    return Deleted(id=endpoint_id, object="webhook_endpoint.deleted")


@router.post("/webhook_endpoints/{endpoint_id}/rotate_secret")
def rotate(
    *,
    endpoint_id: str,
    caller: Owner,
    rooms: InRooms,
    response: Response,
    again: Again,
    body: Annotated[Body[RotateSecret], Depends(json_body(RotateSecret))],
) -> EndpointWithSecret:
    """Sign by a new secret; the old one ends at once, or signs beside it for a day."""
    keep = body.value.keep_old_secret_active_for_24_hours
    attempt = again.attempt(f"webhook_endpoints.rotate_secret {endpoint_id}", body.sha256)

    def make(scope: Scope) -> tuple[str, Endpoint]:
        secret = deliveries.new_secret()
        made = webhooks.rotate(scope, endpoint_id, secret, keep_old=keep, actor=caller.key_id)
        return made.id, made

    with rooms.database.scope(caller.project_id) as scope:
        return with_secret(attempts.once(scope, attempt, response, find=webhooks.get, make=make))


@router.post("/webhook_endpoints/{endpoint_id}/test")
async def attempt(
    *,
    endpoint_id: str,
    caller: Owner,
    rooms: InRooms,
    allowed: Allowed,
    body: Annotated[Body[TryEndpoint], Depends(json_body(TryEndpoint))],
) -> Tried:
    """Send a sample now, once; whatever the endpoint answers is told."""
    endpoint, now = await run_in_threadpool(found, rooms, caller, endpoint_id), int(time.time())
    event = WebhookEvent(
        id=ids.prefixed("evt_"),
        created_at=now,
        type=body.value.event_type,
        data=EventSubject(id="sample"),
    )
    data = event.model_dump_json().encode()
    headers = deliveries.signed(event.id, data, keys=endpoint.secrets(now), at=now)
    try:
        status = await deliveries.post(endpoint.url, data, headers, policy=allowed)
    except Undelivered as error:
        raise InvalidRequest(error.message, param="url", code="webhook_unreachable") from None
    return Tried(webhook_endpoint_id=endpoint.id, event_type=event.type, status_code=status)


@router.get("/webhook_event_types")
def event_types(caller: Viewer) -> EventTypeList:
    """All types that an endpoint can ask for."""
    return EventTypeList(data=list(get_args(EventType)))
