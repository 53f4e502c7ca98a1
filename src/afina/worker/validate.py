"""A job's first half: its files are checked and rendered, every "auto" becomes a number, and it is queued."""

from collections.abc import Iterator

from afina.data.report import Problem, Report
from afina.errors import DataError, RunFailed
from afina.schemas.fine_tuning import FineTuningJob, JobError, with_numbers
from afina.store import events, jobs, moves, work
from afina.store.events import Level, NewEvent
from afina.store.jobs import JobChanges
from afina.training import plan
from afina.training.bases import Base
from afina.worker import bases, datasets
from afina.worker.context import Context, Hold
from afina.worker.fail import fail, job_error


def validate(context: Context, hold: Hold) -> None:
    """The job moves to `queued`, or to `failed` with the first problem as its error."""
    claim = hold.claim
    with context.database.scope(claim.project_id) as scope:
        job = jobs.get(scope, claim.subject)
        events.append(scope, job.id, [NewEvent(announcement(job))], fence=claim.fence)
    try:
        base = bases.find(context, job.model)
        check(context, hold, job, base)
        changes = planned(context, job, base)
    except (DataError, RunFailed) as error:
        fail(context, hold, job_error(error))
    else:
        queue(context, hold, changes)


def announcement(job: FineTuningJob) -> str:
    """In OpenAI's words."""
    also = f" and validation file: {job.validation_file}" if job.validation_file else ""
    return f"Validating training file: {job.training_file}{also}"


def check(context: Context, hold: Hold, job: FineTuningJob, base: Base) -> None:
    """Report what is wrong with the files as events; raises the `DataError` that the job fails with."""
    reports = [datasets.report(context, job, base, "training")]
    if job.validation_file:
        reports.append(datasets.report(context, job, base, "validation"))
    found = [event for report in reports for event in findings(report)]
    if found:
        with context.database.scope(job.project_id) as scope:
            events.append(scope, job.id, found, fence=hold.claim.fence)
    for report in reports:
        if error := report.error():
            raise error


def findings(report: Report) -> Iterator[NewEvent]:
    """One event a problem or notice, with its place and its cure."""
    for finding in (*report.problems, *report.warnings):
        level: Level = "error" if isinstance(finding, Problem) else "warn"
        text = f"{report.file.capitalize()} file: {finding.message} ({finding.cure})"
        yield NewEvent(text, level=level, data={"line": finding.line, "field": finding.field})


def planned(context: Context, job: FineTuningJob, base: Base) -> JobChanges:
    """The job with numbers in place of "auto", and what they amount to; its token files are made on the way."""
    training = datasets.of_job(context, job, base, "training").stats
    if job.validation_file:
        datasets.of_job(context, job, base, "validation")
    numbers = plan.resolve(job.method.hyperparameters, training, base.facts)
    found = {
        "learning_rate": plan.learning_rate(numbers, base.facts, full=job.full),
        "total_steps": plan.total_steps(numbers, training),
        "training_tokens": training.tokens,
        "truncated_examples": training.truncated,
    }
    return {
        "hyperparameters": numbers.common,
        "method": with_numbers(job.method, numbers),
        "afina": job.afina.model_copy(update=found),
    }


def queue(context: Context, hold: Hold, changes: JobChanges) -> None:
    """The files are sound: the second half of the work can be claimed."""
    claim = hold.claim
    said = "Files validated, moving job to queued state"
    with context.database.scope(claim.project_id) as scope:
        moves.move(scope, claim.subject, "queued", fence=claim.fence, event=said, changes=changes)
        work.hand_on(scope, claim, "train")


def give_up(context: Context, hold: Hold) -> None:
    """The check itself broke again and again."""
    text = "The files could not be checked because of an internal error; the worker's log has the traceback."
    fail(context, hold, JobError(code="server_error", message=text))
