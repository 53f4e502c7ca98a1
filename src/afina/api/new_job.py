"""A request for a job as the job that it becomes: names resolved, files found, nothing read."""

import secrets
from collections.abc import Iterator

from afina import ids
from afina.blobs import Blobs
from afina.errors import InvalidRequest, NotFound
from afina.schemas.adapters import AnyAdapter, Full
from afina.schemas.fine_tuning import (
    CreateJob,
    FineTuningJob,
    Hyperparameters,
    JobDetails,
    SupervisedMethod,
    with_numbers,
)
from afina.schemas.models import Model
from afina.serving import bases
from afina.serving.names import Target, target_of
from afina.store import clock, files, jobs, models
from afina.store.scope import Scope
from afina.training import adapters
from afina.training.bases import unreadable
from afina.training.plan import BaseFacts

SEEDS = 2**31
SUPERVISED = SupervisedMethod(type="supervised")


def new_job(scope: Scope, request: CreateJob, target: Target) -> FineTuningJob:
    """The job that tunes `target`, or a 400 for what can be told without reading its files."""
    now = clock.seconds(scope)
    check_file(scope, request.training_file, param="training_file", now=now)
    if request.validation_file is not None:
        check_file(scope, request.validation_file, param="validation_file", now=now)
    numbers = hyperparameters(request)
    integrations = [one.model_dump(exclude_none=True) for one in request.integrations or []]
    return FineTuningJob(
        id=ids.job_id(),
        created_at=now,
        model=target.base.id,
        organization_id=scope.organization_id,
        status="validating_files",
        training_file=request.training_file,
        validation_file=request.validation_file,
        seed=secrets.randbelow(SEEDS) if request.seed is None else request.seed,
        hyperparameters=numbers.common,
        method=with_numbers(request.method or SUPERVISED, numbers),
        integrations=integrations or None,
        metadata=request.metadata,
        user_provided_suffix=request.suffix,
        afina=details(scope, request, target),
    )


def find_model(scope: Scope, name: str, *, production: bool) -> Target:
    """The base that is tuned, and the tuned model that is continued where there is one."""
    try:
        model = models.resolve(scope, name)
    except NotFound as error:
        raise InvalidRequest(error.message, param="model", code="model_not_found") from None
    try:
        models.base(scope, model.base)
    except NotFound:
        message = f"Model {model.id} is not available for fine-tuning: its base is not there any more."
        raise InvalidRequest(message, param="model", code="model_not_available") from None
    return target_of(scope, model, asked=name, production=production)


def check_file(scope: Scope, file_id: str, *, param: str, now: int) -> None:
    """Refuse a file that is not there, not for training, or expired."""
    try:
        file = files.get(scope, file_id)
    except NotFound as error:
        raise InvalidRequest(error.message, param=param) from None
    if file.purpose != "fine-tune":
        raise InvalidRequest(f"File purpose must be 'fine-tune', and that of {file.id} is not.", param=param)
    if file.expires_at is not None and file.expires_at <= now:
        raise InvalidRequest(f"The file {file.id} has expired. Upload it again.", param=param)


def hyperparameters(request: CreateJob) -> Hyperparameters:
    """The method's numbers; the deprecated ones at the top fill what it leaves open."""
    old = request.hyperparameters.model_dump(exclude_unset=True) if request.hyperparameters else {}
    asked = (request.method or SUPERVISED).hyperparameters
    return type(asked).model_validate(old | asked.model_dump(exclude_unset=True))


def details(scope: Scope, request: CreateJob, target: Target) -> JobDetails:
    """`job.afina` as it was asked for; a job that continues a tuned model keeps the shape of its adapter."""
    asked = request.afina
    said = JobDetails(
        adapter=asked.adapter, max_length=asked.max_length, max_completion_tokens=asked.max_completion_tokens
    )
    if target.tuned is None:
        return said
    if isinstance(asked.adapter, Full):
        raise InvalidRequest(
            f"Invalid 'afina.adapter.type': {target.tuned.id} is an adapter. All weights are trained from a base, or "
            "from a model of which all weights were trained.",
            param="afina.adapter.type",
            code="invalid_value",
        )
    adapter = adapter_of(scope, target.tuned) or asked.adapter
    if "adapter" in asked.model_fields_set and asked.adapter != adapter:
        raise InvalidRequest(
            f"A job that continues {target.tuned.id} keeps the shape of its adapter: leave 'afina.adapter' out.",
            param="afina.adapter",
            code="invalid_value",
        )
    return said.model_copy(update={"adapter": adapter, "start": target.tuned.id})


def admit_adapter(request: CreateJob, target: Target, blobs: Blobs) -> None:
    """Nothing, or a 400 for an adapter that does not fit its base; `Unavailable` where the base cannot be read."""
    if target.tuned is not None or "adapter" not in request.afina.model_fields_set:
        return
    try:
        facts = BaseFacts.read(bases.place(target.base, blobs))
    except (OSError, ValueError, KeyError):
        raise unreadable(target.base.id) from None
    adapters.check(request.afina.adapter, facts)


def adapter_of(scope: Scope, tuned: Model) -> AnyAdapter | None:
    """The shape of a tuned model's adapter, as its job had it; None for a model without a job.

    Who may use another project's model may know the shape of its adapter.
    """
    if tuned.job_id is None or tuned.project_id is None:
        return None
    owner = Scope(scope.connection, tuned.project_id, scope.organization_id)
    return jobs.get(owner, tuned.job_id).afina.adapter


def warnings(job: FineTuningJob, target: Target, *, reported: bool) -> Iterator[str]:
    """What the user should know before the job is done; `reported`: whether integrations are told."""
    if target.warning is not None:
        yield target.warning
    if job.integrations and not reported:
        yield (
            "Nothing is sent to Weights & Biases: this server has no key for it (AFINA_WANDB_API_KEY). "
            "The integration is kept with the job"
        )
    if job.training_file == job.validation_file:
        yield "The validation file is the training file: its figures say nothing about new examples"
