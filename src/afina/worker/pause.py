"""A job that is paused: stopped behind a resume point, with its model as it is there for whoever wants to try it."""

from afina.schemas.fine_tuning import FineTuningJob, StepMetrics
from afina.store import events, jobs, moves, speeds
from afina.training import resume_points
from afina.training.resume_points import ResumePoint
from afina.worker import publish
from afina.worker.context import Context, Hold


def pause(context: Context, hold: Hold) -> bool:
    """Pause the job where that is wanted and nothing runs; a user who thinks better of it is heard until the end."""
    claim = hold.claim
    with context.database.read(claim.project_id) as scope:
        job = jobs.get(scope, claim.subject)
    if job.wanted != "paused":
        return False
    point = resume_points.latest(context.runs(job.id))
    if point is not None:
        show(context, hold, job, point)
    where = f" after step {point.step}" if point else " before its first step"
    with context.database.scope(claim.project_id) as scope:
        if jobs.get(scope, job.id, hold=True).wanted != "paused":
            return False
        moves.move(scope, job.id, "paused", fence=claim.fence, event=speeds.PAUSED + where)
    return True


def show(context: Context, hold: Hold, job: FineTuningJob, point: ResumePoint) -> None:
    """The adapter of a resume point as a checkpoint; behind the last step it will be the model itself."""
    with context.database.read(job.project_id) as scope:
        figures = events.metrics(scope, job.id, beyond=point.step - 1)
    metrics = [StepMetrics.model_validate(figure) for figure in figures if figure["step"] == point.step]
    if metrics and metrics[0].total_steps != point.step:
        publish.checkpoint(context, hold, job, adapter=point.path, metrics=metrics[0])
