"""`/v1/afina/estimates`: what a job would train on, how long it would take and what OpenAI would charge.

No job is made. The files' tokens are kept as the job's own check would keep them, so they are rendered once.
"""

import math
from collections.abc import Sequence
from typing import Annotated

from anyio import CapacityLimiter, to_thread
from fastapi import APIRouter, Depends

from afina.api import list_prices
from afina.api.auth import Member
from afina.api.body import Body, json_body
from afina.api.new_job import admit_adapter, find_model, new_job
from afina.api.rooms import InRooms, Rooms
from afina.api.routes import ThreadedRoute
from afina.blobs import room
from afina.data.report import FileKind
from afina.data.tokens import TokenStats
from afina.errors import InvalidRequest
from afina.schemas.estimates import Estimate
from afina.schemas.files import FileObject
from afina.schemas.fine_tuning import CreateJob, FineTuningJob
from afina.serving import bases
from afina.store import files, speeds
from afina.store.scope import Scope
from afina.store.speeds import Timed
from afina.training import datasets, memory, plan
from afina.training.bases import Base
from afina.training.datasets import Source

router = APIRouter(prefix="/afina/estimates", route_class=ThreadedRoute)

AT_ONCE = CapacityLimiter(2)  # rendering takes minutes for large files, and other requests need threads too


@router.post("")
async def create(
    caller: Member, rooms: InRooms, body: Annotated[Body[CreateJob], Depends(json_body(CreateJob))]
) -> Estimate:
    """Refused where the job would be, and where it would fail for its files."""
    return await to_thread.run_sync(estimate, rooms, caller.project_id, body.value, limiter=AT_ONCE)


def estimate(rooms: Rooms, project_id: str, request: CreateJob) -> Estimate:
    """The job's numbers, by the functions that its worker would use."""
    production = rooms.settings.environment == "production"
    if request.method is not None and request.method.grader is not None:
        message = "Reinforcement cannot be estimated: how much it writes depends on what it learns."
        raise InvalidRequest(message, param="method", code="invalid_value")
    with rooms.database.read(project_id) as scope:
        target = find_model(scope, request.model, production=production)
        admit_adapter(request, target, rooms.blobs)
        job = new_job(scope, request, target)
        uploaded = uploads(scope, job)
    base = Base.read(
        job.model,
        bases.folder(target.base, rooms.router.bases.adapters),
        options=target.base.template_options,
        sha256=target.base.manifest_sha256,
    )
    stats = {kind: checked(rooms, job, base, file=file, kind=kind) for kind, file in uploaded.items()}
    with rooms.database.system(read=True) as system:
        timed = speeds.of_base(system, job.model, full=job.full)
    return described(job, stats["training"], base, asked=request.model, timed=timed)


def uploads(scope: Scope, job: FineTuningJob) -> dict[FileKind, FileObject]:
    """The job's files, of which the second one may not be there."""
    found: dict[FileKind, FileObject] = {"training": files.get(scope, job.training_file)}
    if job.validation_file:
        found["validation"] = files.get(scope, job.validation_file)
    return found


def checked(rooms: Rooms, job: FineTuningJob, base: Base, *, file: FileObject, kind: FileKind) -> TokenStats:
    """The counts of a sound file; raises the `DataError` that the job would fail with."""
    length = base.max_length(job.afina.max_length)
    source = Source(file, kind, base, length, datasets.FORMATS[job.method.type])
    with room():
        return datasets.sound(source, rooms.blobs, rooms.settings.tokens).stats


def described(
    job: FineTuningJob, data: TokenStats, base: Base, *, asked: str, timed: Sequence[Timed]
) -> Estimate:
    """The numbers of a job in words of the wire."""
    numbers = plan.resolve(job.method.hyperparameters, data, base.facts)
    n_epochs, batch_size, _ = plan.resolved(numbers)
    tokens = n_epochs * data.tokens
    largest = max(data.longest, min(data.tokens, plan.token_budget(base.facts)))
    price = list_prices.of(asked)
    return Estimate(
        model=job.model,
        examples=data.examples,
        truncated=data.truncated,
        tokens_per_epoch=data.tokens,
        n_epochs=n_epochs,
        batch_size=batch_size,
        steps=plan.total_steps(numbers, data),
        trained_tokens=tokens,
        memory_bytes=memory.run_bytes(base.facts, job.afina.adapter, tokens=largest),
        seconds=expected(tokens, timed),
        finished_jobs=len(timed),
        openai_usd=list_prices.usd(tokens, price) if price else None,
        openai=price,
    )


def expected(tokens: int, timed: Sequence[Timed]) -> tuple[int, int] | None:
    """The least and the most seconds, had this job the speed of one of those; None without any.

    Both ends of a job's time were rounded down to whole seconds, so it may have taken one more or one less.
    """
    if not timed:
        return None
    least = min(tokens * max(1, job.seconds - 1) / job.tokens for job in timed)
    most = max(tokens * (job.seconds + 1) / job.tokens for job in timed)
    return max(1, math.floor(least)), math.ceil(most)
