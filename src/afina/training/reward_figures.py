"""The metrics event of a step of reinforcement, in OpenAI's shape."""

from afina.schemas.fine_tuning import StepMetrics
from afina.schemas.graders import Grader, GraderTokens
from afina.schemas.rewards import (
    Errors,
    GraderErrorCounts,
    GraderScore,
    GraderTiming,
    GraderUsage,
    JudgeTokens,
    SampleTokens,
    Scores,
    StepTiming,
    Timing,
    Usage,
)
from afina.training.rewards import Tally, names


def metrics(
    grader: Grader, tried: Tally, looked: Tally | None, *, step: int, total_steps: int, timing: StepTiming
) -> StepMetrics:
    """Everything that a step has found out; `looked` is there where it ended with a look at the validation file."""
    size = len(tried.replies)
    figures = StepMetrics(
        step=step,
        total_steps=total_steps,
        train_mean_reward=tried.mean_reward,
        mean_unresponsive_rewards=tried.failed / size,
        reasoning_tokens_mean=tried.mean_reasoning_tokens,
        completion_tokens_mean=tried.completion_tokens / size,
        scores=scores(grader, tried, looked),
        usage=usage(grader, tried, looked),
        errors=errors(grader, tried, looked),
        timing=Timing(step=timing, graders=[GraderTiming(name=grader.name, execution_mean=tried.seconds)]),
        model_graders_token_usage=judges(tried, looked),
    )
    return figures if looked is None else figures.model_copy(update=validation(looked))


def validation(looked: Tally) -> dict[str, float | None]:
    """The figures that only a look at the validation file has."""
    return {
        "full_valid_mean_reward": looked.mean_reward,
        "full_valid_mean_parse_error": looked.mean_parse_error,
        "valid_reasoning_tokens_mean": looked.mean_reasoning_tokens,
        "valid_completion_tokens_mean": looked.completion_tokens / len(looked.replies),
    }


def scores(grader: Grader, tried: Tally, looked: Tally | None) -> Scores:
    """Mean rewards, also by each part of the grader."""
    return Scores(
        train_reward_mean=tried.mean_reward,
        valid_reward_mean=looked and looked.mean_reward,
        graders=[
            GraderScore(
                name=name,
                train_reward_mean=tried.mean_of(grader, name),
                valid_reward_mean=looked and looked.mean_of(grader, name),
            )
            for name in names(grader)
        ],
    )


def usage(grader: Grader, tried: Tally, looked: Tally | None) -> Usage:
    """What was read and written."""
    graders = [
        GraderUsage(
            name=name, train_samples=len(tried.replies), valid_samples=len(looked.replies) if looked else 0
        )
        for name in names(grader)
    ]
    samples = SampleTokens(
        train_prompt_tokens=tried.prompt_tokens,
        train_completion_tokens=tried.completion_tokens,
        valid_prompt_tokens=looked and looked.prompt_tokens,
        valid_completion_tokens=looked and looked.completion_tokens,
    )
    return Usage(graders=graders, samples=samples)


def errors(grader: Grader, tried: Tally, looked: Tally | None) -> Errors:
    """What the grader could not do."""
    return Errors(
        graders=[
            GraderErrorCounts(
                name=name,
                train_errors=tried.failures_of(grader, name),
                valid_errors=looked.failures_of(grader, name) if looked else 0,
            )
            for name in names(grader)
        ]
    )


def judges(tried: Tally, looked: Tally | None) -> dict[str, JudgeTokens] | None:
    """What grading models have read and written; None where there are none."""
    train, valid = tried.judges, looked.judges if looked else {}
    return {
        model: JudgeTokens.of(train.get(model, GraderTokens()), valid.get(model, GraderTokens()))
        for model in sorted(train.keys() | valid.keys())
    } or None
