"""From files in a run folder to models that answer: bytes first, the manifest last, then one transaction."""

import math
import time
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path

from afina import ids
from afina.errors import FenceLost
from afina.schemas.files import FileObject
from afina.schemas.fine_tuning import FineTuningJob, JobCheckpoint, StepMetrics
from afina.schemas.models import Manifest, Model, ModelKind
from afina.schemas.runs import RunSpec
from afina.store import checkpoints, events, files, models, moves, projects, usage
from afina.store.events import NewEvent
from afina.store.scope import Scope
from afina.store.usage import Used
from afina.training import plan
from afina.training.bases import Base
from afina.worker import bases
from afina.worker.context import Context, Hold
from afina.worker.results import result_file

KEPT_CHECKPOINTS = 3
ADAPTER_FILES = ("adapter_config.json", "adapter_model.safetensors")
SPEECH_FILES = (
    *("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json"),
    *("chat_template.jinja", "generation_config.json", "LICENSE"),
)
VERSIONED = ("afina", "numpy", "torch", "transformers", "tokenizers")


def checkpoint(
    context: Context, hold: Hold, job: FineTuningJob, *, adapter: Path, metrics: StepMetrics
) -> None:
    """Publish a checkpoint that is to be kept; one that was published already, or was dropped, stays so."""
    step = metrics.step
    with context.database.read(job.project_id) as scope:
        if not wanted(job, checkpoints.page(scope, job.id, limit=100).data, metrics):
            return
        name = ids.checkpoint_model_name(
            job.model, projects.organization(scope).slug, job.user_provided_suffix, step
        )
    model = store_model(context, job, adapter, name=name, kind="checkpoint")
    with unless_refused(context, model), context.database.scope(job.project_id) as scope:
        insert_checkpoint(scope, hold, model, metrics)
        said = f"Checkpoint created at step {step} with Snapshot ID: {name}"
        events.append(scope, job.id, [NewEvent(said)], fence=hold.claim.fence)
        dropped = drop_old(scope, job)
    for old in dropped:
        context.blobs.delete_folder(old.folder)


@contextmanager
def unless_refused(context: Context, model: Model, result: FileObject | None = None) -> Generator[None]:
    """Take stored bytes away again when their rows are refused: somebody else has the job, or it was cancelled."""
    try:
        yield
    except FenceLost:
        context.blobs.delete_folder(model.folder)
        if result:
            context.blobs.delete(result.blob)
        raise


def wanted(job: FineTuningJob, known: Sequence[JobCheckpoint], metrics: StepMetrics) -> bool:
    """Whether a checkpoint belongs to those that are kept, and is not there yet; `known`: newest first."""
    if job.method.grader is None:
        return not known or known[0].step_number < metrics.step
    if any(one.step_number == metrics.step for one in known):
        return False
    better = [one for one in known if reward(one.metrics) >= reward(flat(metrics))]
    return len(better) < KEPT_CHECKPOINTS


def ranked(job: FineTuningJob, known: Sequence[JobCheckpoint]) -> list[JobCheckpoint]:
    """Those to be kept first: the newest; or those that earn most, of equal ones the earliest."""
    if job.method.grader is None:
        return list(known)
    return sorted(known, key=lambda one: (-reward(one.metrics), one.step_number))


def reward(metrics: Mapping[str, float]) -> float:
    """What a checkpoint has earned on the validation file; the least there is where nobody has looked."""
    return metrics.get("full_valid_mean_reward", -math.inf)


def drop_old(scope: Scope, job: FineTuningJob) -> list[Model]:
    """Take all but three checkpoints off the list; their models, whose files can go."""
    dropped: list[Model] = []
    for old in ranked(job, checkpoints.page(scope, job.id, limit=100).data)[KEPT_CHECKPOINTS:]:
        checkpoints.delete(scope, old.id)
        name = old.fine_tuned_model_checkpoint
        # Its user may have deleted it already, or gone on from it.
        if models.find(scope, name) and not models.needing(scope, name):
            dropped.append(models.delete(scope, name, actor="worker"))
    return dropped


def final(context: Context, hold: Hold, job: FineTuningJob, adapter: Path) -> None:
    """Publish the tuned model with its result file; the job has succeeded when this returns."""
    with context.database.read(job.project_id) as scope:
        name = ids.tuned_model_name(job.model, projects.organization(scope).slug, job.user_provided_suffix)
        metrics = events.metrics(scope, job.id)
    trained = trained_tokens(job, metrics)
    model = store_model(context, job, adapter, name=name, kind="tuned")
    result = store_result(context, job, result_file(metrics))
    with unless_refused(context, model, result), context.database.scope(job.project_id) as scope:
        if job.method.grader is None:
            insert_checkpoint(scope, hold, model, StepMetrics.model_validate(metrics[-1]))
        else:
            models.insert(scope, model)
        files.insert(scope, result, actor="worker")
        dropped = drop_old(scope, job)
        usage.record(scope, [Used(job.project_id, "training", job.model, trained)])
        said = NewEvent(f"New fine-tuned model created: {name}")
        events.append(scope, job.id, [said], fence=hold.claim.fence)
        moves.move(
            scope,
            job.id,
            "succeeded",
            fence=hold.claim.fence,
            event="The job has successfully completed",
            changes={
                "fine_tuned_model": name,
                "result_files": [result.id],
                "trained_tokens": trained,
            },
        )
    for old in dropped:
        context.blobs.delete_folder(old.folder)


def trained_tokens(job: FineTuningJob, metrics: Sequence[Mapping[str, object]]) -> int:
    """Every token of the training file, once an epoch; or every token that was tried out."""
    if job.method.grader is not None:
        usages = [StepMetrics.model_validate(step).usage for step in metrics]
        return sum(usage.samples.train_completion_tokens for usage in usages if usage is not None)
    n_epochs, _, _ = plan.resolved(job.method.hyperparameters)
    assert job.afina.training_tokens is not None
    return n_epochs * job.afina.training_tokens


def insert_checkpoint(scope: Scope, hold: Hold, model: Model, metrics: StepMetrics) -> None:
    """The model's row, and the checkpoint's that names it."""
    models.insert(scope, model)
    row = JobCheckpoint(
        id=ids.checkpoint_id(),
        created_at=model.created,
        fine_tuned_model_checkpoint=model.id,
        fine_tuning_job_id=hold.claim.subject,
        step_number=metrics.step,
        metrics=flat(metrics),
    )
    checkpoints.insert(scope, row, fence=hold.claim.fence)


def flat(metrics: StepMetrics) -> dict[str, float]:
    """The plain figures of a checkpoint."""
    found = metrics.model_dump(exclude_none=True, exclude={"total_steps"})
    return {name: value for name, value in found.items() if isinstance(value, int | float)}


def store_model(context: Context, job: FineTuningJob, adapter: Path, *, name: str, kind: ModelKind) -> Model:
    """Copy a model's files to the blobs and seal them with a manifest; no row yet, so nobody sees it."""
    key = ids.prefixed("model-")
    base = bases.find(context, job.model)
    hashes = {
        path.name: context.blobs.put(f"models/{key}/{path.name}", path).sha256
        for path in model_files(job, adapter, base)
    }
    manifest = build_manifest(context, job, adapter, base=base, name=name, hashes=hashes)
    sealed = context.blobs.write(f"models/{key}/manifest.json", [manifest.model_dump_json().encode()])
    return Model(
        id=name,
        created=int(time.time()),
        owned_by=job.organization_id,
        project_id=job.project_id,
        kind=kind,
        base=name if job.full else job.model,
        key=key,
        manifest_sha256=sealed.sha256,
        job_id=job.id,
        thinking=bases.row(context, job.model).thinking if job.full else None,
    )


def model_files(job: FineTuningJob, adapter: Path, base: Base) -> list[Path]:
    """What a tuned model consists of; a resume point holds more. A whole model speaks as its base does."""
    if not job.full:
        return [adapter / name for name in ADAPTER_FILES]
    speech = [base.folder / name for name in SPEECH_FILES]
    return [
        adapter / "config.json",
        *sorted(adapter.glob("model*.safetensors*")),
        *filter(Path.is_file, speech),
    ]


def build_manifest(
    context: Context, job: FineTuningJob, adapter: Path, *, base: Base, name: str, hashes: dict[str, str]
) -> Manifest:
    """What the model is, so that it can be made again."""
    spec = RunSpec.model_validate_json((run_folder(adapter) / "spec.json").read_bytes())
    with context.database.read(job.project_id) as scope:
        training = files.get(scope, job.training_file)
        validation = files.get(scope, job.validation_file) if job.validation_file else None
    return Manifest(
        model=name,
        base=job.model,
        base_sha256=base.sha256,
        job=job.id,
        files=hashes,
        training_file_sha256=training.sha256,
        validation_file_sha256=validation.sha256 if validation else None,
        seed=job.seed,
        spec=spec.recipe() | {"start": job.afina.start},
        versions={package: version(package) for package in VERSIONED},
    )


def run_folder(adapter: Path) -> Path:
    """The run folder that an adapter's folder lies in."""
    return next(parent for parent in adapter.parents if (parent / "spec.json").exists())


def store_result(context: Context, job: FineTuningJob, content: bytes) -> FileObject:
    """The result file's bytes; its row comes with the model's."""
    id = ids.file_id()
    written = context.blobs.write(f"files/{id}", [content])
    return FileObject(
        id=id,
        bytes=written.bytes,
        created_at=int(time.time()),
        filename="step_metrics.csv",
        purpose="fine-tune-results",
        project_id=job.project_id,
        sha256=written.sha256,
    )
