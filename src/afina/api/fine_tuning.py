"""`/v1/fine_tuning/jobs`: create, list, retrieve, cancel, pause, resume, events, checkpoints."""

from collections.abc import Iterable
from typing import Annotated

from fastapi import APIRouter, Depends, Response

from afina.api import attempts
from afina.api.attempts import Again
from afina.api.auth import Member, Viewer
from afina.api.body import Body, json_body
from afina.api.callers import Caller
from afina.api.new_job import admit_adapter, find_model, new_job, warnings
from afina.api.queries import After, Limit, WithMetadata, limited
from afina.api.reinforcement import admit
from afina.api.rooms import InRooms, Rooms
from afina.api.routes import ThreadedRoute
from afina.errors import InvalidRequest
from afina.evals import of_jobs
from afina.schemas.fine_tuning import CreateJob, FineTuningJob, JobCheckpoint, JobEvent
from afina.schemas.record import Page
from afina.store import checkpoints, evals, events, jobs, moves, work
from afina.store.events import NewEvent
from afina.store.scope import Scope

router = APIRouter(prefix="/fine_tuning/jobs", route_class=ThreadedRoute)

ENDS = {"succeeded": "completed", "failed": "failed", "cancelled": "been cancelled"}


@router.post("")
def create(
    *,
    caller: Member,
    rooms: InRooms,
    response: Response,
    again: Again,
    body: Annotated[Body[CreateJob], Depends(json_body(CreateJob))],
) -> FineTuningJob:
    """Write down what is wanted: the job, its first event and the work, in one transaction."""
    admit(body.value, caller, rooms)
    admit_shape(body.value, caller, rooms)
    production = rooms.settings.environment == "production"
    reported = bool(rooms.settings.wandb_api_key)

    def make(scope: Scope) -> tuple[str, FineTuningJob]:
        target = find_model(scope, body.value.model, production=production)
        job = new_job(scope, body.value, target)
        made = submit(scope, caller, job, doubts=warnings(job, target, reported=reported))
        for number, _ in enumerate(job.integrations or [] if reported else []):
            work.enqueue(scope, f"{job.id}/wandb/{number}", "wandb")
        return job.id, made

    with rooms.database.scope(caller.project_id) as scope:
        attempt = again.attempt("fine_tuning.jobs", body.sha256)
        return attempts.once(scope, attempt, response, find=jobs.get, make=make)


def admit_shape(request: CreateJob, caller: Caller, rooms: Rooms) -> None:
    """Whether the adapter fits, of which files of the base tell: others could not write while they are read."""
    if "adapter" not in request.afina.model_fields_set:
        return
    production = rooms.settings.environment == "production"
    with rooms.database.read(caller.project_id) as scope:
        target = find_model(scope, request.model, production=production)
    admit_adapter(request, target, rooms.blobs)


def submit(scope: Scope, caller: Caller, job: FineTuningJob, *, doubts: Iterable[str]) -> FineTuningJob:
    """The job with all that makes somebody work on it."""
    made = jobs.insert(scope, job, actor=caller.key_id)
    if job.method.grader is not None:
        evals.insert(scope, of_jobs.eval_of(job, job.method.grader), actor=caller.key_id)
    first = NewEvent(f"Created fine-tuning job: {job.id}")
    events.append(scope, job.id, [first, *(NewEvent(text, "warn") for text in doubts)], fence=None)
    work.enqueue(scope, job.id, "validate")
    return made


@router.get("")
def page(
    *,
    caller: Viewer,
    rooms: InRooms,
    limit: Limit,
    metadata: WithMetadata,
    after: After = None,
) -> Page[FineTuningJob]:
    """The project's jobs, newest first."""
    with rooms.database.read(caller.project_id) as scope:
        return jobs.page(
            scope, after=after, limit=limit, metadata=metadata.pairs, without_metadata=metadata.absent
        )


@router.get("/{job_id}")
def retrieve(job_id: str, caller: Viewer, rooms: InRooms) -> FineTuningJob:
    """One job."""
    with rooms.database.read(caller.project_id) as scope:
        return jobs.get(scope, job_id)


@router.post("/{job_id}/cancel")
def cancel(job_id: str, caller: Member, rooms: InRooms) -> FineTuningJob:
    """End a job that has not ended; whatever its run still writes is refused from here on."""
    with rooms.database.scope(caller.project_id) as scope:
        job = jobs.get(scope, job_id, hold=True)
        if job.status in ENDS:
            raise InvalidRequest(f"Job has already {ENDS[job.status]}.", code="invalid_state")
        return moves.move(
            scope, job_id, "cancelled", fence=None, event="The job has been cancelled", actor=caller.key_id
        )


@router.post("/{job_id}/pause")
def pause(job_id: str, caller: Member, rooms: InRooms) -> FineTuningJob:
    """Ask a running job to stop behind a resume point; it is `paused` when its run has stopped."""
    with rooms.database.scope(caller.project_id) as scope:
        job = jobs.get(scope, job_id, hold=True)
        if job.status == "paused" or job.wanted == "paused":
            return job
        if job.status != "running":
            raise InvalidRequest(
                f"Only a running job can be paused, and this one is '{job.status}'.", code="invalid_state"
            )
        events.append(scope, job_id, [NewEvent("Pausing the job after its next step")], fence=None)
        return jobs.want(scope, job, "paused")


@router.post("/{job_id}/resume")
def resume(job_id: str, caller: Member, rooms: InRooms) -> FineTuningJob:
    """Have a paused job go on from where it is; before its run has stopped, the pause is taken back."""
    with rooms.database.scope(caller.project_id) as scope:
        job = jobs.get(scope, job_id, hold=True)
        if job.status == "running" and job.wanted == "paused":
            events.append(scope, job_id, [NewEvent("The job is not paused after all")], fence=None)
            return jobs.want(scope, job, None)
        if job.status != "paused":
            raise InvalidRequest(
                f"Only a paused job can be resumed, and this one is '{job.status}'.", code="invalid_state"
            )
        said = "Resuming the job, moving it to queued state"
        return moves.move(scope, job_id, "queued", fence=None, event=said, actor=caller.key_id)


@router.get("/{job_id}/events")
def page_events(
    *,
    job_id: str,
    caller: Viewer,
    rooms: InRooms,
    limit: Limit,
    after: After = None,
) -> Page[JobEvent]:
    """A job's history, newest first."""
    with rooms.database.read(caller.project_id) as scope:
        return events.page(scope, job_id, after=after, limit=limit)


@router.get("/{job_id}/checkpoints")
def page_checkpoints(
    *,
    job_id: str,
    caller: Viewer,
    rooms: InRooms,
    limit: Annotated[int, Depends(limited(10, 100))],
    after: After = None,
) -> Page[JobCheckpoint]:
    """A job's checkpoints, newest first."""
    with rooms.database.read(caller.project_id) as scope:
        return checkpoints.page(scope, job_id, after=after, limit=limit)
