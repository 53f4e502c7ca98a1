"""One event to one endpoint, again and again for three days, until it is taken."""

import asyncio
import logging

from afina import deliveries
from afina.deliveries import Policy, Undelivered
from afina.schemas.webhooks import Endpoint, EventSubject, WebhookEvent
from afina.store import clock, outbox, webhooks, work
from afina.store.outbox import OutboxEvent
from afina.worker.context import Context, Hold

log = logging.getLogger(__name__)

MOST = 25  # attempts, which take three days
LONGEST_PAUSE = 4 * 3600.0  # seconds
GONE = 410


def deliver(context: Context, hold: Hold) -> None:
    """Send an event; what is not taken is sent again later, in the same words."""
    claim = hold.claim
    event_id, _, endpoint_id = claim.subject.partition("/")
    with context.database.read(claim.project_id) as scope:
        event, endpoint = outbox.get(scope, event_id), webhooks.find(scope, endpoint_id)
        now = clock.seconds(scope)
    status = GONE if endpoint is None else send(context, event, endpoint, now=now)
    if status == GONE or 200 <= status < 300:
        give_up(context, hold)
        return
    failed = claim.attempts + 1
    log.info("webhook not taken event=%s status=%d attempt=%d", event_id, status, failed)
    with context.database.system() as system:
        work.release(system, claim, delay=pause_after(failed), attempts=failed)


def send(context: Context, event: OutboxEvent, endpoint: Endpoint, *, now: int) -> int:
    """The status of the answer; 0 where there was none."""
    told = WebhookEvent(
        id=event.id, created_at=event.created_at, type=event.type, data=EventSubject(id=event.subject)
    )
    body = told.model_dump_json().encode()
    headers = deliveries.signed(event.id, body, keys=endpoint.secrets(now), at=now)
    policy = Policy.read(context.settings.webhook_hosts)
    try:
        return asyncio.run(deliveries.post(endpoint.url, body, headers, policy=policy))
    except Undelivered:
        return 0


def pause_after(failed: int) -> float:
    """5, 15, 45 seconds and so on, up to four hours."""
    return min(LONGEST_PAUSE, 5.0 * 3.0 ** (failed - 1))


def give_up(context: Context, hold: Hold) -> None:
    """Nothing more is sent: it was taken, nobody is there any more, or three days have passed."""
    with context.database.scope(hold.claim.project_id) as scope:
        outbox.settle(scope, hold.claim)
