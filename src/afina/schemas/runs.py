"""What a worker tells a host to run, and what a run tells its worker: files in the run folder."""

from typing import Annotated, Literal

from pydantic import Field, TypeAdapter

from afina.schemas.fine_tuning import StepMetrics
from afina.schemas.graders import Grader
from afina.schemas.record import Record
from afina.schemas.structure import JsonForm

Dtype = Literal["float32", "bfloat16"]
ALL_WEIGHTS: Dtype = (
    "float32"  # of a run that trains all of them: in bfloat16, its steps would be lost in their rounding
)


class LoraSpec(Record):
    """The adapter that a run trains; without `targets`, it changes all linears of attention and of what follows it."""

    rank: int
    alpha: float
    rslora: bool = False
    targets: tuple[str, ...] | None = None


class Trials(Record):
    """What reinforcement tries out: so many replies to each prompt, graded, and those to validate on.

    `form` is what replies are held to; `eval_interval` counts steps, `eval_samples` replies to a validation prompt.
    """

    grader: Grader
    form: JsonForm | None = None
    group_size: int
    max_tokens: int
    eval_interval: int
    eval_samples: int


class RunSpec(Record):
    """One execution of a job with everything resolved, nothing "auto": the same spec gives the same bytes.

    Paths are absolute. `folder` is written by this run alone; `resume` is a resume point of an earlier
    run of the same job, `start` the adapter folder of the tuned model that this job continues.
    Without `lora`, all weights of the base are trained, on a host that this run has alone.
    `token_budget` counts the tokens of one training pass (a micro-batch). `beta` is the method dpo's, `trials` are
    the method reinforcement's, whose grading models are those of `project`.
    """

    job: str
    project: str = ""
    fence: int
    folder: str
    method: Literal["supervised", "dpo", "reinforcement"]
    base: str
    training_tokens: str
    validation_tokens: str | None
    start: str | None
    resume: str | None
    seed: int
    n_epochs: int
    batch_size: int
    learning_rate: float
    warmup_steps: int
    weight_decay: float
    max_grad_norm: float
    beta: float | None = None
    trials: Trials | None = None
    lora: LoraSpec | None
    token_budget: int
    validate_every: int
    dtype: Dtype
    threads: int

    @property
    def name(self) -> str:
        """What a host calls the run."""
        return f"{self.job}.{self.fence}"

    @property
    def adapter(self) -> str:
        """The adapter's name in the engine: a resumed run never meets the remains of its predecessor."""
        return self.name

    def recipe(self) -> dict[str, object]:
        """What decides the numbers: the spec without places and without where a broken run went on."""
        places = {"folder", "start", "resume", "training_tokens", "validation_tokens"}
        return self.model_dump(exclude={"job", "project", "fence", *places})


class Started(Record):
    """The run is on its way; `step` is the number of steps already done by its predecessors."""

    kind: Literal["started"] = "started"
    step: int
    total_steps: int


class Stepped(Record):
    """One optimizer step was taken."""

    kind: Literal["step"] = "step"
    metrics: StepMetrics


class CheckpointSaved(Record):
    """An epoch or a look at the validation file ended; the adapter lies in `path`, relative to the run folder."""

    kind: Literal["checkpoint"] = "checkpoint"
    path: str
    metrics: StepMetrics


class ResumePointSaved(Record):
    """Another run could go on from here; `path` is relative to the run folder."""

    kind: Literal["resume_point"] = "resume_point"
    step: int
    path: str


class Finished(Record):
    """The last word of a run that went to its end; `path` holds the adapter, relative to the run folder.

    `best` is the step that the adapter is of, where that is not the last one.
    """

    kind: Literal["finished"] = "finished"
    step: int
    path: str
    best: int | None = None


class Stopped(Record):
    """The last word of a run that was told to stop, after its last resume point."""

    kind: Literal["stopped"] = "stopped"
    step: int


class Failed(Record):
    """The last word of a run that cannot go on, and that a retry would not mend."""

    kind: Literal["failed"] = "failed"
    code: str
    message: str


RunEvent = Started | Stepped | CheckpointSaved | ResumePointSaved | Finished | Stopped | Failed
run_event: TypeAdapter[RunEvent] = TypeAdapter(Annotated[RunEvent, Field(discriminator="kind")])
