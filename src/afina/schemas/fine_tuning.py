"""Fine-tuning jobs, their events and their checkpoints, field by field as OpenAI's."""

from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field, computed_field

from afina import ids
from afina.schemas.adapters import Adapter, Full, LowRank
from afina.schemas.bounds import AutoFloat, AutoInt, Metadata, Seed, Suffix
from afina.schemas.chat import JsonObjectFormat, JsonSchema, TextFormat
from afina.schemas.graders import Grader
from afina.schemas.record import Record, Request, internal
from afina.schemas.rewards import Errors, JudgeTokens, Scores, Timing, Usage

JobStatus = Literal["validating_files", "queued", "running", "paused", "succeeded", "failed", "cancelled"]
FINAL: frozenset[JobStatus] = frozenset({"succeeded", "failed", "cancelled"})

Epochs = Annotated[int | Literal["auto"], AutoInt(1, 50)]
BatchSize = Annotated[int | Literal["auto"], AutoInt(1, 256)]
RateMultiplier = Annotated[float | Literal["auto"], AutoFloat(above=0, most=1e6)]
Beta = Annotated[float | Literal["auto"], AutoFloat(above=0, most=2)]
ComputeMultiplier = Annotated[float | Literal["auto"], AutoFloat(above=1e-5, most=10)]
Interval = Annotated[int | Literal["auto"], AutoInt(1, 1_000_000)]
Samples = Annotated[int | Literal["auto"], AutoInt(1, 64)]


class SupervisedHyperparameters(Request):
    """Numbers, or "auto" until the job's plan resolves them."""

    n_epochs: Epochs = "auto"
    batch_size: BatchSize = "auto"
    learning_rate_multiplier: RateMultiplier = "auto"

    @property
    def common(self) -> "SupervisedHyperparameters":
        """Those that every method has: what a job shows at its top."""
        shared = set(SupervisedHyperparameters.model_fields)
        return SupervisedHyperparameters.model_validate(self.model_dump(include=shared))


class Supervised(Request):
    """Next-token loss on the assistant's words."""

    hyperparameters: SupervisedHyperparameters = SupervisedHyperparameters()


class SupervisedMethod(Request):
    """The sibling objects of other methods may be present: only the one that `type` names counts."""

    type: Literal["supervised"]
    supervised: Supervised = Supervised()
    dpo: dict[str, Any] | None = Field(default=None, exclude=True)
    reinforcement: dict[str, Any] | None = Field(default=None, exclude=True)

    @property
    def hyperparameters(self) -> SupervisedHyperparameters:
        """Those of the method that counts."""
        return self.supervised.hyperparameters

    @property
    def grader(self) -> None:
        """Nothing is graded."""


class DpoHyperparameters(SupervisedHyperparameters):
    """With `beta`: how dearly it costs to leave the model that the job begins from."""

    beta: Beta = "auto"


class Dpo(Request):
    """Preferred answers gain on those that are not."""

    hyperparameters: DpoHyperparameters = DpoHyperparameters()


class DpoMethod(Request):
    """Direct preference optimisation."""

    type: Literal["dpo"]
    dpo: Dpo = Dpo()
    supervised: dict[str, Any] | None = Field(default=None, exclude=True)
    reinforcement: dict[str, Any] | None = Field(default=None, exclude=True)

    @property
    def hyperparameters(self) -> DpoHyperparameters:
        """Those of the method that counts."""
        return self.dpo.hyperparameters

    @property
    def grader(self) -> None:
        """Nothing is graded."""


class ReinforcementHyperparameters(SupervisedHyperparameters):
    """With how much is tried out (`compute_multiplier`), and how often and closely the validation file is looked at."""

    compute_multiplier: ComputeMultiplier = "auto"
    eval_interval: Interval = "auto"
    eval_samples: Samples = "auto"
    reasoning_effort: Literal["default", "low", "medium", "high"] = "default"


class EchoedSchema(JsonSchema):
    """Kept and shown under the name that it came under."""

    model_config = ConfigDict(serialize_by_alias=True)


class EchoedFormat(Request):
    """JSON of a schema."""

    type: Literal["json_schema"]
    json_schema: EchoedSchema


ResponseFormat = Annotated[TextFormat | JsonObjectFormat | EchoedFormat, Field(discriminator="type")]


class Reinforcement(Request):
    """What the grader rewards is said more often. `response_format` holds the replies to a form."""

    grader: Grader
    response_format: ResponseFormat | None = None
    hyperparameters: ReinforcementHyperparameters = ReinforcementHyperparameters()


class ReinforcementMethod(Request):
    """Reinforcement fine-tuning."""

    type: Literal["reinforcement"]
    reinforcement: Reinforcement
    supervised: dict[str, Any] | None = Field(default=None, exclude=True)
    dpo: dict[str, Any] | None = Field(default=None, exclude=True)

    @property
    def hyperparameters(self) -> ReinforcementHyperparameters:
        """Those of the method that counts."""
        return self.reinforcement.hyperparameters

    @property
    def grader(self) -> Grader:
        """What decides the rewards."""
        return self.reinforcement.grader


Hyperparameters = SupervisedHyperparameters | DpoHyperparameters | ReinforcementHyperparameters
AnyMethod = SupervisedMethod | DpoMethod | ReinforcementMethod
Method = Annotated[AnyMethod, Field(discriminator="type")]


def with_numbers(method: AnyMethod, numbers: Hyperparameters) -> AnyMethod:
    """The method, with other numbers of its kind."""
    match method, numbers:
        case DpoMethod(), DpoHyperparameters():
            return DpoMethod(type="dpo", dpo=Dpo(hyperparameters=numbers))
        case ReinforcementMethod(), ReinforcementHyperparameters():
            said = method.reinforcement.model_copy(update={"hyperparameters": numbers})
            return ReinforcementMethod(type="reinforcement", reinforcement=said)
        case _:
            return SupervisedMethod(type="supervised", supervised=Supervised(hyperparameters=numbers))


class JobOptions(Request):
    """What Afina offers beyond OpenAI's fields, in a request's `afina` object.

    `max_completion_tokens` bounds the replies that reinforcement tries out.
    """

    adapter: Adapter = LowRank()
    max_length: Annotated[int, Field(ge=16, le=1_048_576)] | None = None
    max_completion_tokens: Annotated[int, Field(ge=1, le=1_048_576)] | None = None


WandbName = Annotated[str, Field(pattern=r"^[^/\x00-\x1f]{1,128}$")]


class Wandb(Request):
    """Where a run's figures are also shown."""

    project: WandbName
    name: WandbName | None = None
    entity: WandbName | None = None
    tags: Annotated[list[Annotated[str, Field(max_length=64)]], Field(max_length=32)] | None = None


class Integration(Request):
    """Somebody else who is told about a job."""

    type: Literal["wandb"]
    wandb: Wandb


class CreateJob(Request):
    """The body of `POST /fine_tuning/jobs`."""

    model: Annotated[str, Field(min_length=1, max_length=256)]
    training_file: Annotated[str, Field(min_length=1, max_length=256)]
    validation_file: Annotated[str, Field(min_length=1, max_length=256)] | None = None
    suffix: Suffix | None = None
    seed: Seed | None = None
    metadata: Metadata | None = None
    method: Method | None = None
    hyperparameters: SupervisedHyperparameters | None = None
    integrations: Annotated[list[Integration], Field(max_length=5)] | None = None
    afina: JobOptions = JobOptions()


class JobError(Record):
    """Why a job failed; `param` names the file that was at fault."""

    code: str
    message: str
    param: str | None = None


class JobDetails(Record):
    """`job.afina`: ours beyond OpenAI's fields. What was asked for, and from the plan on what it amounts to.

    `start` is the tuned model that the job continues; tokens are those of one epoch.
    """

    adapter: Adapter = LowRank()
    max_length: int | None = None
    max_completion_tokens: int | None = None
    start: str | None = None
    learning_rate: float | None = None
    total_steps: int | None = None
    training_tokens: int | None = None
    truncated_examples: int | None = None


class FineTuningJob(Record):
    """What a user asked for, and what has become of it."""

    id: str
    object: Literal["fine_tuning.job"] = "fine_tuning.job"
    created_at: int
    finished_at: int | None = None
    estimated_finish: int | None = None
    model: str
    fine_tuned_model: str | None = None
    organization_id: str
    status: JobStatus
    training_file: str
    validation_file: str | None = None
    result_files: list[str] = []
    trained_tokens: int | None = None
    seed: int
    error: JobError | None = None
    hyperparameters: SupervisedHyperparameters
    method: Method
    integrations: list[dict[str, Any]] | None = None
    metadata: dict[str, str] | None = None
    user_provided_suffix: str | None = None
    afina: JobDetails = JobDetails()
    project_id: str = internal("")
    wanted: Literal["paused"] | None = internal()

    @computed_field
    @property
    def eval_id(self) -> str | None:
        """The eval whose runs are the looks at the validation file, of a job with a grader."""
        return None if self.method.grader is None else ids.eval_of_job(self.id)

    @property
    def full(self) -> bool:
        """Whether all weights are trained, and the result is a base of its own."""
        return isinstance(self.afina.adapter, Full)


class StepMetrics(Record):
    """Figures of one step; keys only where they exist."""

    step: int
    total_steps: int | None = None
    train_loss: float | None = None
    train_mean_token_accuracy: float | None = None
    valid_loss: float | None = None
    valid_mean_token_accuracy: float | None = None
    full_valid_loss: float | None = None
    full_valid_mean_token_accuracy: float | None = None
    train_reward_accuracy: float | None = None
    train_reward_margin: float | None = None
    train_chosen_reward: float | None = None
    train_rejected_reward: float | None = None
    valid_reward_accuracy: float | None = None
    valid_reward_margin: float | None = None
    valid_chosen_reward: float | None = None
    valid_rejected_reward: float | None = None
    full_valid_reward_accuracy: float | None = None
    full_valid_reward_margin: float | None = None
    full_valid_chosen_reward: float | None = None
    full_valid_rejected_reward: float | None = None
    train_mean_reward: float | None = None
    full_valid_mean_reward: float | None = None
    full_valid_mean_parse_error: float | None = None
    mean_unresponsive_rewards: float | None = None
    reasoning_tokens_mean: float | None = None
    completion_tokens_mean: float | None = None
    valid_reasoning_tokens_mean: float | None = None
    valid_completion_tokens_mean: float | None = None
    scores: Scores | None = None
    usage: Usage | None = None
    errors: Errors | None = None
    timing: Timing | None = None
    model_graders_token_usage: dict[str, JudgeTokens] | None = None


class JobEvent(Record):
    """One line of a job's history; numbers are contiguous within a job."""

    id: str
    object: Literal["fine_tuning.job.event"] = "fine_tuning.job.event"
    created_at: int
    level: Literal["info", "warn", "error"] = "info"
    message: str
    type: Literal["message", "metrics"] = "message"
    data: dict[str, Any] | None = None
    number: int = internal(0)


class JobCheckpoint(Record):
    """A model as it was at the end of an epoch."""

    id: str
    object: Literal["fine_tuning.job.checkpoint"] = "fine_tuning.job.checkpoint"
    created_at: int
    fine_tuned_model_checkpoint: str
    fine_tuning_job_id: str
    step_number: int
    metrics: dict[str, float]
