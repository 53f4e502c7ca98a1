"""Answers and grades the items of a run, a few at a time; what became of them turns into rows in groups."""

import asyncio
import logging
from collections.abc import Iterator
from dataclasses import dataclass, field

from afina.errors import AfinaError, FenceLost
from afina.evals import criteria, samples
from afina.graders.grade import Means, grade
from afina.graders.sandbox import Sandbox
from afina.schemas.eval_runs import EvalError, EvalRun, ModelUsage, Sample
from afina.schemas.evals import Eval
from afina.serving.judging import asking, embedding, patient
from afina.serving.meter import Payer, payer
from afina.serving.router import Router
from afina.store import eval_items, eval_runs, work
from afina.store.eval_items import Settled, WaitingItem
from afina.worker import crew, eval_samples
from afina.worker.context import Context, Hold

log = logging.getLogger(__name__)

AT_ONCE = 8
READ_AT_ONCE = 100


@dataclass
class Found:
    """What is not a row yet."""

    settled: list[Settled] = field(default_factory=list[Settled])
    usage: list[ModelUsage] = field(default_factory=list[ModelUsage])


@dataclass(frozen=True)
class Trial:
    """An eval, one run of it, and the means to go through it."""

    eval: Eval
    run: EvalRun
    router: Router
    means: Means


async def go_through(context: Context, hold: Hold, eval: Eval, run: EvalRun) -> None:
    """Give all items their results, unless the run is not to go on."""
    payer.set(Payer(run.project_id))
    router = Router(context.database, context.blobs, context.settings)
    means = Means(patient(asking(router, run.project_id)), Sandbox(), embedding(router))
    trial, found = Trial(eval, run, router, means), Found()

    async def one(item: WaitingItem) -> None:
        settled, usage = await outcome(trial, item)
        found.settled.append(settled)
        found.usage += usage

    try:
        items = waiting(context, run)
        await crew.work_off(items, one, keep=lambda: keep(context, hold, found), at_once=AT_ONCE)
    finally:
        await router.close()


def waiting(context: Context, run: EvalRun) -> Iterator[WaitingItem]:
    """The items that have no result yet, in their order."""
    last = -1
    while True:
        with context.database.read(run.project_id) as scope:
            some = eval_items.waiting(scope, run.id, after=last, limit=READ_AT_ONCE)
        yield from some
        if len(some) < READ_AT_ONCE:
            return
        last = some[-1].datasource_item_id


def keep(context: Context, hold: Hold, found: Found) -> bool:
    """Turn results into rows; whether more are wanted. FenceLost where the run was cancelled or is somebody else's."""
    if hold.lost.is_set():
        raise FenceLost("the run is somebody else's")
    settled, usage = list(found.settled), list(found.usage)
    claim = hold.claim
    with context.database.scope(claim.project_id) as scope:
        run = eval_runs.held(scope, claim.subject, fence=claim.fence)
        if settled or usage:
            eval_items.settle(scope, run.id, settled)
            eval_runs.write(scope, run, criteria.grown(run, settled, usage))
            work.came_further(scope, run.id, claim.fence)
    del found.settled[: len(settled)], found.usage[: len(usage)]  # they are rows now
    return not context.draining.is_set()


async def outcome(trial: Trial, item: WaitingItem) -> tuple[Settled, list[ModelUsage]]:
    """What becomes of an item; what goes wrong with it is its own error."""
    try:
        return await graded(trial, item)
    except AfinaError as error:
        why = error
    except Exception:  # an item's edge: it must not end the others
        log.exception("item broke run=%s item=%s", trial.run.id, item.id)
        why = AfinaError("The server had an error while processing this item.")
    return Settled(item.id, "error", [], unanswered(trial.run, item, why)), []


async def graded(trial: Trial, item: WaitingItem) -> tuple[Settled, list[ModelUsage]]:
    """The item's results; raises AfinaError where it has no answer."""
    source = trial.run.data_source
    answer = await eval_samples.answer(trial.router, trial.run.project_id, source, item)
    asked = trial.eval.testing_criteria
    grades = await asyncio.gather(
        *(grade(each, answer.namespace, item.datasource_item, means=trial.means) for each in asked)
    )
    results = [criteria.result(*pair) for pair in zip(asked, grades, strict=True)]
    said = [one for found in grades for one in found.said]
    settled = Settled(item.id, criteria.verdict(results), results, answer.shown)
    return settled, [*answer.usage, *criteria.judged(said)]


def unanswered(run: EvalRun, item: WaitingItem, error: AfinaError) -> Sample:
    """The sample of an item that has no answer; where it could not even be asked, all there is is the error."""
    why = EvalError(code=error.code or error.type, message=error.message)
    try:
        chat = eval_samples.asked(run.data_source, item.datasource_item)
    except AfinaError:
        chat = None
    return Sample(model=run.model, error=why) if chat is None else samples.unanswered(chat, why)
