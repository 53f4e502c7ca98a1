"""From the looks of a reinforcement run at its validation file to runs of the job's eval."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Literal

from afina import ids
from afina.data import reinforcement_format
from afina.data.jsonl import Line, read_lines
from afina.data.strict_json import JsonObject
from afina.evals import criteria, of_jobs
from afina.schemas.eval_runs import EvalRun, ModelUsage, OutputItem, Sample, SampleMessage, TokenUsage
from afina.schemas.fine_tuning import FineTuningJob
from afina.schemas.graders import Grader
from afina.schemas.stored_chats import stored_message
from afina.store import clock, eval_items, eval_runs, evals, events, work
from afina.store.eval_items import Settled
from afina.store.scope import Scope
from afina.training import looks
from afina.training.looks import Heard
from afina.worker import datasets
from afina.worker.context import Context, Hold


def publish(context: Context, hold: Hold, job: FineTuningJob, *, folder: Path, step: int) -> None:
    """Add the run of one look; not where it is there, nor where somebody has deleted it or the eval."""
    grader, heard = job.method.grader, looks.read(folder, step)
    if grader is None or not heard:
        return
    with context.database.read(job.project_id) as scope:
        if not due(scope, job, step):
            return
    rows = validation_rows(context, job)
    with context.database.scope(job.project_id) as scope:
        work.require(scope, job.id, hold.claim.fence)
        if not due(scope, job, step, lock="share"):
            return
        run = of_jobs.run_of(job, grader, step, now=clock.seconds(scope))
        items = [item(run, grader, rows[one.question], one) for one in heard]
        eval_runs.insert(scope, with_figures(run, heard, items), actor="worker")
        eval_items.keep(scope, items)


def due(scope: Scope, job: FineTuningJob, step: int, *, lock: Literal["share"] | None = None) -> bool:
    """Whether the run of a look is still to be added.

    Looks are turned before the steps behind them: where one of those is known, somebody has deleted the run.
    """
    if evals.find(scope, ids.eval_of_job(job.id), lock=lock) is None:
        return False
    there = eval_runs.find(scope, ids.eval_run_of_job(job.id, step)) is not None
    return not there and not events.metrics(scope, job.id, beyond=step)


def validation_rows(context: Context, job: FineTuningJob) -> list[JsonObject]:
    """The examples of the validation file, by the numbers that prompts have."""
    file = datasets.file_of(context, job, "validation")
    return [line.value for line in read_lines(context.blobs.read(file.blob)) if isinstance(line, Line)]


def item(run: EvalRun, grader: Grader, row: JsonObject, heard: Heard) -> OutputItem:
    """One reply to an example, with what every criterion says of it."""
    results = of_jobs.results(grader, heard.grade)
    return OutputItem(
        id=ids.prefixed("outputitem_"),
        created_at=run.created_at,
        eval_id=run.eval_id,
        run_id=run.id,
        datasource_item_id=heard.question,
        datasource_item=reinforcement_format.item(row),
        status=criteria.verdict(results),
        results=results,
        sample=Sample(
            input=list(asked(row)),
            output=[SampleMessage(role="assistant", content=heard.text)],
            model=run.model,
            usage=used(heard),
        ),
    )


def asked(row: JsonObject) -> Iterator[SampleMessage]:
    """The messages of a prompt, as evals show them."""
    for message in reinforcement_format.prompt(row).messages:
        yield SampleMessage(role=str(message["role"]), content=stored_message("", message).content or "")


def used(heard: Heard) -> TokenUsage:
    """What a reply took."""
    return TokenUsage(
        prompt_tokens=heard.prompt_tokens,
        completion_tokens=heard.completion_tokens,
        total_tokens=heard.prompt_tokens + heard.completion_tokens,
    )


def with_figures(run: EvalRun, heard: Sequence[Heard], items: Sequence[OutputItem]) -> EvalRun:
    """The run with the counts of its items, and what its models have used."""
    counted = run.model_copy(
        update={"result_counts": run.result_counts.model_copy(update={"total": len(items)})}
    )
    settled = [Settled(each.id, each.status, each.results, each.sample) for each in items]
    spoken = [ModelUsage(model_name=run.model, invocation_count=1, **dict(used(one))) for one in heard]
    judged = criteria.judged(said for one in heard for said in one.said)
    return counted.model_copy(update=dict(criteria.grown(counted, settled, [*spoken, *judged])))
