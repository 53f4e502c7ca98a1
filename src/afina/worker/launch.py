"""From a job's row to the spec of one run: everything resolved, nothing left to chance or to the host."""

import os
from pathlib import Path

from afina.schemas.fine_tuning import FineTuningJob
from afina.schemas.runs import LoraSpec, RunSpec
from afina.store import models
from afina.training.batches import steps_per_epoch
from afina.training.resume_points import ResumePoint
from afina.worker import datasets, plan
from afina.worker.bases import Base
from afina.worker.context import Context, Hold

WEIGHT_DECAY = 0.0
MAX_GRAD_NORM = 1.0


def write_spec(
    context: Context, hold: Hold, job: FineTuningJob, base: Base, *, resume: ResumePoint | None
) -> RunSpec:
    """The spec of the run that this claim starts, durable in a run folder of its own."""
    folder = context.runs(job.id) / str(hold.claim.fence)
    folder.mkdir(parents=True)
    spec = run_spec(context, job, base, folder=folder, resume=resume)
    with (folder / "spec.json").open("w") as file:
        file.write(spec.model_dump_json())
        file.flush()
        os.fsync(file.fileno())
    return spec


def run_spec(
    context: Context, job: FineTuningJob, base: Base, *, folder: Path, resume: ResumePoint | None
) -> RunSpec:
    """The same job gives the same spec but for `folder`, `fence` and `resume`."""
    n_epochs, batch_size, multiplier = plan.resolved(job.method.supervised.hyperparameters)
    training = datasets.of_job(context, job, base, "training")
    validation = datasets.of_job(context, job, base, "validation") if job.validation_file else None
    total_steps = n_epochs * steps_per_epoch(training.stats.examples, batch_size)
    return RunSpec(
        job=job.id,
        fence=int(folder.name),
        folder=str(folder),
        method="supervised",
        base=base.name,
        training_tokens=str(training.path),
        validation_tokens=str(validation.path) if validation else None,
        start=start_folder(context, job),
        resume=str(resume.path) if resume else None,
        seed=job.seed,
        n_epochs=n_epochs,
        batch_size=batch_size,
        learning_rate=plan.learning_rate(multiplier, base.facts),
        warmup_steps=plan.warmup_steps(total_steps),
        weight_decay=WEIGHT_DECAY,
        max_grad_norm=MAX_GRAD_NORM,
        lora=LoraSpec.model_validate(job.afina["adapter"]),
        token_budget=plan.token_budget(base.facts),
        validate_every=plan.validate_every(total_steps),
        dtype="float32",
        threads=context.settings.engine_threads,
    )


def start_folder(context: Context, job: FineTuningJob) -> str | None:
    """The adapter folder of the tuned model that the job continues, if it continues one."""
    start = job.afina.get("start")
    if start is None:
        return None
    with context.database.read(job.project_id) as scope:
        return str(context.blobs.path(models.get(scope, start).folder))
