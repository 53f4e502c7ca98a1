"""From a job's row to the spec of one run: everything resolved, nothing left to chance or to the host."""

import os
from pathlib import Path

from afina.blobs import make_folder, sync_folder
from afina.errors import NotFound, RunFailed, Unavailable
from afina.schemas.adapters import AnyAdapter, Full
from afina.schemas.fine_tuning import FineTuningJob
from afina.schemas.runs import ALL_WEIGHTS, LoraSpec, RunSpec
from afina.store import models
from afina.training import plan
from afina.training.bases import Base
from afina.training.resume_points import ResumePoint
from afina.training.trials import trials
from afina.worker import datasets
from afina.worker.context import Context, Hold

WEIGHT_DECAY = 0.0
MAX_GRAD_NORM = 1.0


def write_spec(
    context: Context, hold: Hold, job: FineTuningJob, base: Base, *, resume: ResumePoint | None
) -> RunSpec:
    """The spec of the run that this claim starts, durable in a run folder of its own."""
    spec = run_spec(context, job, base, fence=hold.claim.fence, resume=resume)
    folder = Path(spec.folder)
    make_folder(folder)
    with (folder / "spec.json").open("w") as file:
        file.write(spec.model_dump_json())
        file.flush()
        os.fsync(file.fileno())
    sync_folder(folder)
    return spec


def run_spec(
    context: Context, job: FineTuningJob, base: Base, *, fence: int, resume: ResumePoint | None
) -> RunSpec:
    """The same job gives the same spec but for `fence`, `folder` and `resume`."""
    numbers = job.method.hyperparameters
    n_epochs, batch_size, _ = plan.resolved(numbers)
    training = datasets.of_job(context, job, base, "training")
    validation = datasets.of_job(context, job, base, "validation") if job.validation_file else None
    total_steps = plan.total_steps(numbers, training.stats)
    return RunSpec(
        job=job.id,
        project=job.project_id,
        fence=fence,
        folder=str(context.runs(job.id) / str(fence)),
        method=job.method.type,
        base=base.name,
        training_tokens=str(training.path),
        validation_tokens=str(validation.path) if validation else None,
        start=start_folder(context, job),
        resume=str(resume.path) if resume else None,
        seed=job.seed,
        n_epochs=n_epochs,
        batch_size=batch_size,
        learning_rate=plan.learning_rate(numbers, base.facts, full=job.full),
        warmup_steps=plan.warmup_steps(total_steps),
        weight_decay=WEIGHT_DECAY,
        max_grad_norm=MAX_GRAD_NORM,
        beta=plan.beta(numbers),
        trials=trials(job.method, max_tokens=job.afina.max_completion_tokens),
        lora=lora_spec(job.afina.adapter),
        token_budget=plan.token_budget(base.facts),
        validate_every=plan.validate_every(total_steps),
        dtype=ALL_WEIGHTS if job.full else context.settings.engine_dtype,
        threads=context.settings.engine_threads,
    )


def lora_spec(adapter: AnyAdapter) -> LoraSpec | None:
    """The adapter's shape, for a host; None where all weights are trained."""
    if isinstance(adapter, Full):
        return None
    targets = None if adapter.targets is None else tuple(adapter.targets)
    return LoraSpec(rank=adapter.rank, alpha=adapter.alpha, rslora=adapter.rslora, targets=targets)


def start_folder(context: Context, job: FineTuningJob) -> str | None:
    """The adapter folder of the tuned model that the job continues; `RunFailed` where it is gone or damaged."""
    start = job.afina.start
    if start is None:
        return None
    try:
        with context.database.read(job.project_id) as scope:
            model = models.get(scope, start)
    except NotFound as error:
        raise RunFailed(error.message, code=error.code) from None
    try:
        return context.adapters.verified(model).lora_path
    except Unavailable as error:
        raise RunFailed(error.message, code=error.code) from error
