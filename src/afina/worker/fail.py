"""The end of a job without a model."""

from afina.errors import DataError, RunFailed
from afina.schemas.fine_tuning import JobError
from afina.store import moves
from afina.worker.context import Context, Hold


def job_error(error: DataError | RunFailed) -> JobError:
    """An error in a file or of a run as the job shows it."""
    return JobError(code=error.code or "server_error", message=error.message, param=error.param)


def fail(context: Context, hold: Hold, error: JobError) -> None:
    """The job has failed; its error says why."""
    claim = hold.claim
    with context.database.scope(claim.project_id) as scope:
        moves.move(
            scope,
            claim.subject,
            "failed",
            fence=claim.fence,
            event=error.message,
            level="error",
            changes={"error": error},
        )
