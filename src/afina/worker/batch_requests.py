"""Answers a batch's requests, a few at a time so that chats are served beside them."""

import logging
from collections.abc import Iterator

from afina import ids
from afina.errors import AfinaError, FenceLost
from afina.schemas.batches import Batch, BatchReply, BatchResult
from afina.schemas.chat import JsonObject
from afina.schemas.tokens import InputDetails, TokenUsage
from afina.serving import endpoints
from afina.serving.meter import Payer, payer
from afina.serving.patience import patiently
from afina.serving.router import Router
from afina.store import batches, clock
from afina.store.batches import Result
from afina.worker import crew
from afina.worker.batch_input import Numbered
from afina.worker.context import Context, Hold

log = logging.getLogger(__name__)

AT_ONCE = 4


async def answer(context: Context, hold: Hold, batch: Batch, requests: Iterator[Numbered]) -> None:
    """Answer requests until all have results, or the batch is not to go on; results become rows in groups."""
    payer.set(Payer(batch.project_id, batch=True))
    router = Router(context.database, context.blobs, context.settings)
    found: list[Result] = []

    async def one(asked: Numbered) -> None:
        found.append(await result(router, batch, asked))

    try:
        await crew.work_off(requests, one, keep=lambda: keep(context, hold, found), at_once=AT_ONCE)
    finally:
        await router.close()


def keep(context: Context, hold: Hold, found: list[Result]) -> bool:
    """Turn results into rows; whether more of them are wanted. Raises `FenceLost` when they are not ours to keep."""
    if hold.lost.is_set():
        raise FenceLost("the batch is somebody else's")
    group = list(found)
    claim = hold.claim
    with context.database.scope(claim.project_id) as scope:
        batch = batches.add_results(scope, claim.subject, group, fence=claim.fence)
        over = clock.seconds(scope) >= batch.expires_at
    del found[: len(group)]  # they are rows now
    return batch.status == "in_progress" and not over and not context.draining.is_set()


async def result(router: Router, batch: Batch, asked: Numbered) -> Result:
    """What a request is answered with: a reply, or the error that a client would see."""
    status, body = 200, await reply(router, batch, asked)
    if isinstance(body, AfinaError):
        status, body = body.status, body.wire()
    response = BatchReply.model_validate(
        {"status_code": status, "request_id": ids.request_id(), "body": body}
    )
    written = BatchResult(id=ids.prefixed("batch_req_"), custom_id=asked.request.custom_id, response=response)
    return Result(asked.line, written, usage_of(response.body))


async def reply(router: Router, batch: Batch, asked: Numbered) -> dict[str, object] | AfinaError:
    """The reply, or what went wrong."""
    body = asked.request.body
    try:
        reply = await patiently(lambda: endpoints.answer(router, batch.project_id, batch.endpoint, body))
        return reply.wire()
    except AfinaError as error:
        return error
    except Exception:  # a request's edge: it must not end the others
        log.exception("request broke batch=%s line=%d", batch.id, asked.line)
        return AfinaError("The server had an error while processing your request.")


def usage_of(body: JsonObject) -> TokenUsage:
    """The tokens that a reply counts, in the words of either kind of endpoint."""
    usage = body.get("usage")
    if not isinstance(usage, dict):
        return TokenUsage()

    def count(*names: str) -> int:
        return next((number for name in names if isinstance(number := usage.get(name), int)), 0)

    details = usage.get("input_tokens_details", usage.get("prompt_tokens_details"))
    cached = details.get("cached_tokens") if isinstance(details, dict) else 0
    return TokenUsage(
        input_tokens=count("input_tokens", "prompt_tokens"),
        input_tokens_details=InputDetails(cached_tokens=cached if isinstance(cached, int) else 0),
        output_tokens=count("output_tokens", "completion_tokens"),
        total_tokens=count("total_tokens"),
    )
