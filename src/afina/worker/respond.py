"""Responses in the background: made by a worker, durable before anybody hears of them."""

import asyncio

from afina.errors import AfinaError, FenceLost, Unavailable
from afina.schemas.response_replies import FINAL, ResponseError, ResponseStatus, StoredResponse
from afina.schemas.responses import CreateResponse
from afina.serving import responses
from afina.serving.meter import Payer, payer
from afina.serving.registry import DEFAULT
from afina.serving.response_turns import Past, Turn
from afina.serving.router import Router
from afina.store import conversations, outbox, work
from afina.store import responses as rows
from afina.worker import attempts
from afina.worker.context import Context, Hold

LOOK_SECONDS = 0.25


def respond(context: Context, hold: Hold) -> None:
    """Make a response, unless it has been cancelled or deleted."""
    stored = begun(context, hold)
    if stored is not None:
        asyncio.run(answer(context, hold, stored))


def begun(context: Context, hold: Hold) -> StoredResponse | None:
    """The response, now in progress; None where nobody waits for it any longer."""
    claim = hold.claim
    with context.database.scope(claim.project_id) as scope:
        stored = rows.find(scope, claim.subject)
        if stored is None or stored.response.status in FINAL:
            work.finish(scope, claim)
            return None
        response = stored.response.model_copy(update={"status": "in_progress"})
        started = stored.model_copy(update={"response": response})
        rows.finish(scope, started, while_in=stored.response.status)
        return started


async def answer(context: Context, hold: Hold, stored: StoredResponse) -> None:
    """Ask the model, and stop where the answer is not wanted any longer."""
    payer.set(Payer(hold.claim.project_id, stored.api_key_id))
    router = Router(context.database, context.blobs, context.settings)
    making = asyncio.create_task(made(context, router, hold, stored))
    try:
        while not (await asyncio.wait((making,), timeout=LOOK_SECONDS))[0]:
            if hold.lost.is_set() or context.draining.is_set():
                break
            if not await asyncio.to_thread(wanted, context, hold):
                break
        if making.done():
            await asyncio.to_thread(keep, context, hold, making.result())
        elif context.draining.is_set():
            await asyncio.to_thread(attempts.put_down, context, hold)
        else:
            await asyncio.to_thread(leave, context, hold)
    finally:
        making.cancel()
        await asyncio.wait((making,))
        await router.close()


async def made(context: Context, router: Router, hold: Hold, stored: StoredResponse) -> StoredResponse:
    """The response, or what has gone wrong as one that has failed; what is only away for now is asked again."""
    try:
        turn = await asyncio.to_thread(turn_of, context, router, hold, stored)
        return await responses.complete(router, turn)
    except Unavailable:
        raise
    except AfinaError as error:
        return failed(stored, error.message)


def turn_of(context: Context, router: Router, hold: Hold, stored: StoredResponse) -> Turn:
    """What was asked, with what was said before."""
    request = CreateResponse.model_validate(stored.request)
    project_id, previous = hold.claim.project_id, stored.previous_response_id
    target = router.find(project_id, request.model or DEFAULT)
    with context.database.read(project_id) as scope:
        said = rows.history(scope, previous)
        if request.conversation_id is not None:
            said = conversations.without(said, conversations.removed(scope, request.conversation_id))
        return Turn(target, request, Past(said, previous), stored)


def wanted(context: Context, hold: Hold) -> bool:
    """Whether the response is still in progress."""
    with context.database.read(hold.claim.project_id) as scope:
        stored = rows.find(scope, hold.claim.subject)
    return stored is not None and stored.response.status == "in_progress"


def keep(
    context: Context, hold: Hold, stored: StoredResponse, *, while_in: ResponseStatus = "in_progress"
) -> None:
    """Write what has become of it; one that was cancelled meanwhile stays cancelled."""
    claim = hold.claim
    response = stored.response
    with context.database.scope(claim.project_id) as scope:
        work.require(scope, claim.subject, claim.fence)
        if rows.finish(scope, stored.model_copy(update={"request": None}), while_in=while_in):
            outbox.add(scope, f"response.{response.status}", response.id)
        work.finish(scope, claim)


def leave(context: Context, hold: Hold) -> None:
    """Nobody wants it: the work is done."""
    if hold.lost.is_set():
        raise FenceLost("the response is somebody else's")
    with context.database.scope(hold.claim.project_id) as scope:
        work.finish(scope, hold.claim)


def give_up(context: Context, hold: Hold) -> None:
    """The work broke again and again."""
    with context.database.read(hold.claim.project_id) as scope:
        stored = rows.find(scope, hold.claim.subject)
    if stored is not None:
        ended = failed(stored, "The response could not be made because of an internal error.")
        keep(context, hold, ended, while_in=stored.response.status)


def failed(stored: StoredResponse, why: str) -> StoredResponse:
    """A response that there will not be."""
    ended = {"status": "failed", "error": ResponseError(message=why)}
    return stored.model_copy(update={"response": stored.response.model_copy(update=ended)})
