"""A queued job's second half: launched on a host, followed to its last word, published or explained."""

import shutil
import time
from pathlib import Path

from afina.errors import FenceLost
from afina.schemas.fine_tuning import FINAL, FineTuningJob, JobError
from afina.schemas.runs import Failed, Finished
from afina.store import events, jobs, moves, work
from afina.store.events import NewEvent
from afina.training import resume_points
from afina.training.resume_points import ResumePoint
from afina.worker import bases, launch, publish
from afina.worker.context import Context, Hold
from afina.worker.executors import Host
from afina.worker.follow import EventFile, Follower, LastWord, is_last
from afina.worker.hosts import HostLost, Seat

LOOK_SECONDS = 0.3
STOP_SECONDS = 30.0


def train(context: Context, hold: Hold) -> None:
    """See one run through: it ends in a model or in an error, or it is put down and taken up again later."""
    claim = hold.claim
    with context.database.read(claim.project_id) as scope:
        job = jobs.get(scope, claim.subject)
    try:
        settle(context, hold, Follower(context, hold, job))
    finally:
        clear(context, job)


def settle(context: Context, hold: Hold, follower: Follower) -> None:
    """Run what is not finished, and act on the last word."""
    last = follower.replay()
    if not isinstance(last, Finished | Failed):
        last = run(context, hold, follower)
    match last:
        case Finished():
            publish.final(context, hold, follower.job, follower.folder / last.path)
        case Failed():
            fail(context, hold, JobError(code=last.code, message=last.message))
        case _:
            with context.database.system() as scope:
                work.release(scope, hold.claim)


def clear(context: Context, job: FineTuningJob) -> None:
    """The run folders of a job that has ended hold nothing that is not published."""
    with context.database.read(job.project_id) as scope:
        ended = jobs.get(scope, job.id).status in FINAL
    if ended:
        shutil.rmtree(context.runs(job.id), ignore_errors=True)


def run(context: Context, hold: Hold, follower: Follower) -> LastWord | None:
    """Launch the job on a host and follow it to its last word; None when its host was lost."""
    job, hosts = follower.job, context.hosts
    with hosts.seat(job.model, job=job.id, giving_up=lambda: interrupted(context, hold)) as seat:
        base = bases.find(context, job.model)
        host = hosts.ensure(base.name, base.folder)
        point = resume_points.latest(context.runs(job.id))
        spec = launch.write_spec(context, hold, job, base, resume=point)
        begin(context, hold, job, point)
        host.start_run(Path(spec.folder) / "spec.json")
        try:
            return watch(context, hold, follower, seat=seat, host=host)
        except HostLost:
            count_crash(context, hold, alone=hosts.suspect(seat, job.id), since=point)
            return None


def interrupted(context: Context, hold: Hold) -> bool:
    """Whether there is no point in waiting any longer."""
    return context.draining.is_set() or cancelled(context, hold)


def cancelled(context: Context, hold: Hold) -> bool:
    """Whether the claim is no longer ours: somebody else has it, or the job was cancelled."""
    if hold.lost.is_set():
        return True
    with context.database.read(hold.claim.project_id) as scope:
        return jobs.get(scope, hold.claim.subject).status in FINAL


def begin(context: Context, hold: Hold, job: FineTuningJob, point: ResumePoint | None) -> None:
    """Say that the job runs, or from where it goes on."""
    fence = hold.claim.fence
    with context.database.scope(job.project_id) as scope:
        if job.status == "queued":
            moves.move(scope, job.id, "running", fence=fence, event="Fine-tuning job started")
            return
        where = f"resuming from step {point.step}" if point else "starting again from the first step"
        said = NewEvent(f"The run was interrupted; {where}", level="warn")
        events.append(scope, job.id, [said], fence=fence)


def watch(context: Context, hold: Hold, follower: Follower, *, seat: Seat, host: Host) -> LastWord | None:
    """Follow a run to its last word; raises `HostLost` when none can come, `FenceLost` when it is not ours to hear."""
    job, crashed_at = follower.job, follower.step
    file = EventFile(context.runs(job.id) / str(hold.claim.fence) / "events.jsonl")
    try:
        while not (last := follower.turn(file)):
            if not host.alive():
                return follower.turn(file) or lost()
            if cancelled(context, hold):
                raise FenceLost("the job was cancelled, or is somebody else's")
            if context.draining.is_set():
                host.stop_run(job.id)
            if seat.alone and follower.step > crashed_at:
                context.hosts.trust(seat, job.id)
            hold.lost.wait(LOOK_SECONDS)
        return last
    except FenceLost:
        end_run(host, job.id, file)
        raise


def lost() -> LastWord:
    """There is no last word."""
    raise HostLost("the host ended before the run")


def end_run(host: Host, job: str, file: EventFile) -> None:
    """Stop a run and wait until it writes no more; its events are nobody's business now."""
    deadline = time.monotonic() + STOP_SECONDS
    host.stop_run(job)
    while host.alive() and time.monotonic() < deadline:
        if any(is_last(event) for event in file.read()):
            return
        time.sleep(LOOK_SECONDS)


def count_crash(context: Context, hold: Hold, *, alone: bool, since: ResumePoint | None) -> None:
    """Only a run that was alone on its host, and came no further than the last time, spends an attempt."""
    point = resume_points.latest(context.runs(hold.claim.subject))
    further = point is not None and (since is None or point.step > since.step)
    attempts = 0 if further else hold.claim.attempts + alone
    with context.database.system() as scope:
        work.count_attempts(scope, hold.claim, attempts)


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


def give_up(context: Context, hold: Hold) -> None:
    """The run ended its host again and again, at the same place."""
    text = "The run ended its process several times in a row without coming any further. "
    fail(context, hold, JobError(code="worker_crashed", message=text + "The host's log says why."))
