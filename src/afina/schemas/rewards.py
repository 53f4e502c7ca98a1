"""The figures of one step of reinforcement fine-tuning, under the names of OpenAI's metrics events."""

from afina.schemas.graders import GraderTokens
from afina.schemas.record import Record


class GraderScore(Record):
    """The mean reward by one part of the grader."""

    name: str
    train_reward_mean: float | None = None
    valid_reward_mean: float | None = None


class Scores(Record):
    """Mean rewards of the step and of the look at the validation file that it ended with, if it did."""

    train_reward_mean: float | None = None
    valid_reward_mean: float | None = None
    graders: list[GraderScore] = []


class GraderErrorCounts(Record):
    """How many samples a grader gave no reward to."""

    name: str
    train_errors: int = 0
    valid_errors: int = 0


class Errors(Record):
    """What the graders could not do."""

    graders: list[GraderErrorCounts] = []


class GraderUsage(Record):
    """How many samples a grader was given."""

    name: str
    train_samples: int = 0
    valid_samples: int = 0


class SampleTokens(Record):
    """Tokens of the samples themselves; a prompt counts once for each of its samples."""

    train_prompt_tokens: int = 0
    train_completion_tokens: int = 0
    valid_prompt_tokens: int | None = None
    valid_completion_tokens: int | None = None


class Usage(Record):
    """What the step read and wrote."""

    graders: list[GraderUsage] = []
    samples: SampleTokens = SampleTokens()


class StepTiming(Record):
    """Seconds of the parts of a step; sampling includes grading."""

    sampling: float
    training: float
    eval: float | None = None
    full_iteration: float


class GraderTiming(Record):
    """Seconds that one sample took on average."""

    name: str
    execution_mean: float


class Timing(Record):
    """Where the time went."""

    step: StepTiming
    graders: list[GraderTiming] = []


class JudgeTokens(Record):
    """What a grading model read and wrote in the step and in its look at the validation file."""

    train_prompt_tokens: int = 0
    train_completion_tokens: int = 0
    train_cached_tokens: int = 0
    eval_prompt_tokens: int = 0
    eval_completion_tokens: int = 0
    eval_cached_tokens: int = 0

    @classmethod
    def of(cls, train: GraderTokens, valid: GraderTokens) -> "JudgeTokens":
        """Both counts under OpenAI's names."""
        return cls(
            **{f"train_{name}": count for name, count in train},
            **{f"eval_{name}": count for name, count in valid},
        )
