"""The life of a job: which status may follow which, and the one function that changes it."""

from collections.abc import Mapping

from afina.errors import IllegalMove
from afina.schemas.fine_tuning import FINAL, FineTuningJob, JobStatus
from afina.store import audit, clock, events, jobs, outbox, work
from afina.store.events import Level, NewEvent
from afina.store.jobs import JobChanges
from afina.store.scope import Scope

LEGAL: Mapping[JobStatus, frozenset[JobStatus]] = {
    "validating_files": frozenset({"queued", "failed", "cancelled"}),
    "queued": frozenset({"running", "failed", "cancelled"}),
    "running": frozenset({"paused", "succeeded", "failed", "cancelled"}),
    "paused": frozenset({"queued", "failed", "cancelled"}),
    "succeeded": frozenset(),
    "failed": frozenset(),
    "cancelled": frozenset(),
}


def move(
    scope: Scope,
    job_id: str,
    to: JobStatus,
    *,
    fence: int | None,
    event: str,
    level: Level = "info",
    changes: JobChanges | None = None,
    actor: str = "worker",
) -> FineTuningJob:
    """Change a job's status, and with it write its event, its audit entry and, at the end, its webhook event.

    `fence` is the caller's hold on the work, FenceLost where it is not the living one; None is a user's wish,
    which outranks any holder. A job that has ended or is paused leaves the queue, so that whatever a run still
    writes is refused; one that is taken up again is back in it.
    """
    job = jobs.get(scope, job_id, hold=True)
    if fence is not None:
        work.require(scope, job_id, fence)
    allow(job, to, changes or {})
    moved = jobs.write(scope, job, {"status": to, "wanted": None, **ending(scope, to), **(changes or {})})
    events.append(scope, job_id, [NewEvent(event, level)], fence=None)
    detail = {"from": job.status, "to": to, "fence": fence}
    audit.record(scope, audit.JOB_MOVED, job_id, actor=actor, detail=detail)
    if to in FINAL or to == "paused":
        work.remove(scope, job_id)
    if to in FINAL:
        outbox.add(scope, f"fine_tuning.job.{to}", job_id)
    if job.status == "paused" and to == "queued":
        work.enqueue(scope, job_id, "train")
    return moved


def allow(job: FineTuningJob, to: JobStatus, changes: JobChanges) -> None:
    """Refuse what the life of a job does not know; a model and success come together."""
    if to not in LEGAL[job.status]:
        raise IllegalMove(f"A job whose status is '{job.status}' cannot become '{to}'.", code="invalid_state")
    if (to == "succeeded") != bool(changes.get("fine_tuned_model")):
        raise IllegalMove(f"A job that becomes '{to}' has a model if, and only if, it succeeded.")


def ending(scope: Scope, to: JobStatus) -> JobChanges:
    """What every end has in common; nobody knows when a paused job will end."""
    if to in FINAL:
        return {"finished_at": clock.seconds(scope), "estimated_finish": None}
    return {"estimated_finish": None} if to == "paused" else {}
