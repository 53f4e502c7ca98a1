"""A queued job's second half: launched on a host, followed to its last word, published or explained."""

import logging
import shutil
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from afina.errors import DataError, FenceLost, RunFailed, Unavailable
from afina.schemas.fine_tuning import FINAL, FineTuningJob, JobError
from afina.schemas.runs import Failed, Finished, RunSpec, Stopped
from afina.store import events, jobs, moves, speeds
from afina.store.events import NewEvent
from afina.training import resume_points
from afina.training.bases import Base
from afina.training.resume_points import ResumePoint
from afina.worker import attempts, bases, launch, publish
from afina.worker.context import Context, Hold
from afina.worker.executors import Host, HostLost
from afina.worker.fail import fail, job_error
from afina.worker.follow import EventFile, Follower, LastWord
from afina.worker.hosts import Seat
from afina.worker.pause import pause

log = logging.getLogger(__name__)

LOOK_SECONDS = 0.3
TROUBLE_SECONDS = 3.0  # between looks that fail: each of them is a line in the log
STOP_SECONDS = 30.0


@dataclass(frozen=True)
class Run:
    """A run on its host, and what it writes."""

    spec: RunSpec
    host: Host
    seat: Seat
    events: EventFile


def train(context: Context, hold: Hold) -> None:
    """See one run through: it ends in a model or in an error, or it is put down and taken up again later."""
    claim = hold.claim
    with context.database.read(claim.project_id) as scope:
        job = jobs.get(scope, claim.subject)
    try:
        settle(context, hold, Follower(context, hold, job))
    except (DataError, RunFailed) as error:
        fail(context, hold, job_error(error))
    finally:
        clear(context, job)


def settle(context: Context, hold: Hold, follower: Follower) -> None:
    """Run what is not finished, and act on the last word."""
    last = follower.replay()
    if not isinstance(last, Finished | Failed):
        if pause(context, hold):
            return
        last = run(context, hold, follower)
    match last:
        case Finished():
            publish.final(context, hold, follower.job, follower.folder / last.path)
        case Failed():
            fail(context, hold, JobError(code=last.code, message=last.message))
        case Stopped():
            if not pause(context, hold):
                attempts.put_back(context, hold, failed=0)  # it stops behind a step, so it came further
        case None:
            pass


def clear(context: Context, job: FineTuningJob) -> None:
    """The run folders of a job that has ended hold nothing that is not published."""
    with context.database.read(job.project_id) as scope:
        ended = jobs.get(scope, job.id).status in FINAL
    if ended:
        shutil.rmtree(context.runs(job.id), ignore_errors=True)


def run(context: Context, hold: Hold, follower: Follower) -> LastWord | None:
    """Launch the job on a host and follow it to its last word; None when the work is back in the queue."""
    job = follower.job
    base = bases.find(context, job.model)
    with context.hosts.seat(
        job.model, job=job.id, giving_up=lambda: interrupted(context, hold), own=job.full
    ) as seat:
        if seat is None:
            attempts.put_down(context, hold)
            return None
        point = resume_points.latest(context.runs(job.id))
        try:
            with context.hosts.host(seat, base.folder) as host:
                spec = launched(context, hold, job, base=base, point=point)
                return follow(
                    context, follower, Run(spec, host, seat, EventFile(Path(spec.folder) / "events.jsonl"))
                )
        except HostLost as error:
            log.warning("run lost job=%s fence=%d reason=%s", job.id, hold.claim.fence, error.message)
            set_back(context, hold, alone=context.hosts.suspect(seat), since=point)
            return None


def interrupted(context: Context, hold: Hold) -> bool:
    """Whether there is no point in waiting any longer."""
    return context.draining.is_set() or wish(context, hold) is not None


def wish(context: Context, hold: Hold) -> Literal["paused", "ended"] | None:
    """What has come over the job since it was claimed; `ended` also where somebody else has the claim."""
    if hold.lost.is_set():
        return "ended"
    with context.database.read(hold.claim.project_id) as scope:
        job = jobs.get(scope, hold.claim.subject)
    return "ended" if job.status in FINAL else job.wanted


def launched(
    context: Context, hold: Hold, job: FineTuningJob, *, base: Base, point: ResumePoint | None
) -> RunSpec:
    """The spec of a run that is ready to start, now that its host answers."""
    spec = launch.write_spec(context, hold, job, base, resume=point)
    begin(context, hold, job, point)
    return spec


def begin(context: Context, hold: Hold, job: FineTuningJob, point: ResumePoint | None) -> None:
    """Say that the job runs, or from where it goes on."""
    fence = hold.claim.fence
    with context.database.scope(job.project_id) as scope:
        if job.status == "queued":
            said = f"The job goes on from step {point.step}" if point else speeds.STARTED
            moves.move(scope, job.id, "running", fence=fence, event=said)
            return
        where = f"resuming from step {point.step}" if point else "starting again from the first step"
        warning = NewEvent(f"{speeds.INTERRUPTED}; {where}", level="warn")
        events.append(scope, job.id, [warning], fence=fence)


def follow(context: Context, follower: Follower, run: Run) -> LastWord:
    """Start a run and follow it to its last word; however this is left, the run does not go on unwatched."""
    try:
        run.host.start_run(Path(run.spec.folder) / "spec.json")
        return watch(context, follower, run)
    except BaseException:
        end_run(run)
        raise


def watch(context: Context, follower: Follower, run: Run) -> LastWord:
    """Look at a run until it has said its last word; raises `HostLost` when none can come."""
    crashed_at = follower.step
    follower.start_clock()
    while True:
        try:
            if last := look(context, follower, run):
                return last
        except Unavailable as error:  # the rows are busy or the disk is full; the run need not know
            log.warning("run not followed job=%s reason=%s", run.spec.job, error.message)
            follower.hold.lost.wait(TROUBLE_SECONDS)
        if run.seat.alone and follower.step > crashed_at:
            context.hosts.trust(run.seat)
        follower.hold.lost.wait(LOOK_SECONDS)


def look(context: Context, follower: Follower, run: Run) -> LastWord | None:
    """Turn what is new into rows; raises `FenceLost` when it is not ours to turn any more."""
    wanted = wish(context, follower.hold)
    if wanted == "ended":
        raise FenceLost("the job was cancelled, or is somebody else's")
    over = not run.host.has_run(run.spec.name)  # asked before reading: what it wrote until then will be read
    if last := follower.turn(run.events):
        return last
    if over:
        raise HostLost("the run ended without a last word")
    if context.draining.is_set() or wanted == "paused":
        run.host.stop_run(run.spec.name)
    return None


def end_run(run: Run) -> None:
    """Stop a run that nobody follows any more, and wait until it writes no more."""
    deadline = time.monotonic() + STOP_SECONDS
    with suppress(HostLost):
        while run.host.has_run(run.spec.name) and time.monotonic() < deadline:
            run.host.stop_run(run.spec.name)
            time.sleep(LOOK_SECONDS)


def set_back(context: Context, hold: Hold, *, alone: bool, since: ResumePoint | None) -> None:
    """Only a run that was alone on its host, and came no further than the last time, spends an attempt."""
    point = resume_points.latest(context.runs(hold.claim.subject))
    further = point is not None and (since is None or point.step > since.step)
    attempts.put_back(context, hold, failed=0 if further else hold.claim.attempts + alone)


def give_up(context: Context, hold: Hold) -> None:
    """The run ended its host again and again, at the same place."""
    text = "The run ended its process several times in a row without coming any further. "
    fail(context, hold, JobError(code="worker_crashed", message=text + "The host's log says why."))
