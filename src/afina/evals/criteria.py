"""From grades to results: what passes, what could not be graded, and how a run's figures grow by it."""

from collections.abc import Iterable, Sequence

from afina.graders.grade import Grade
from afina.graders.judges import Said
from afina.schemas.eval_runs import (
    CriterionCounts,
    EvalError,
    EvalRun,
    ItemResult,
    ItemStatus,
    ModelUsage,
    ResultCounts,
)
from afina.schemas.evals import (
    Criterion,
    LabelModelCriterion,
    PythonCriterion,
    ScoreModelCriterion,
    StringCheckGrader,
    TextSimilarityCriterion,
)
from afina.schemas.graders import GraderErrors
from afina.store.eval_items import Settled
from afina.store.eval_runs import RunChanges


def threshold(criterion: Criterion) -> float:
    """The least score that passes; the middle of the range where nothing else is said."""
    match criterion:
        case StringCheckGrader() | LabelModelCriterion():
            return 1.0
        case TextSimilarityCriterion():
            return criterion.pass_threshold
        case PythonCriterion():
            return 0.5 if criterion.pass_threshold is None else criterion.pass_threshold
        case ScoreModelCriterion():
            middle = sum(criterion.range or (0.0, 1.0)) / 2
            return middle if criterion.pass_threshold is None else criterion.pass_threshold


def result(criterion: Criterion, grade: Grade) -> ItemResult:
    """What a criterion says of an item; a grading model's last reply is its sample."""
    score = 0.0 if grade.reward is None else grade.reward
    said = grade.said[-1] if grade.said else None
    error = (
        None if grade.reward is not None else EvalError(code=flag(grade.errors), message=grade.reason or "")
    )
    return ItemResult(
        name=criterion.name,
        type=criterion.type,
        passed=error is None and score >= threshold(criterion),
        score=score,
        sample=said and {"model": said.model, "output": [{"role": "assistant", "content": said.text}]},
        error=error,
    )


def flag(errors: GraderErrors) -> str:
    """The first of OpenAI's words for what went wrong."""
    return next((name for name, raised in errors if raised is True), "other_error")


def verdict(results: Sequence[ItemResult]) -> ItemStatus:
    """An item passes where every criterion does; what one of them could not grade is an error."""
    if any(result.error for result in results):
        return "error"
    return "pass" if all(result.passed for result in results) else "fail"


def judged(said: Iterable[Said]) -> list[ModelUsage]:
    """What grading models have used."""
    return [
        ModelUsage(
            model_name=one.model,
            invocation_count=1,
            prompt_tokens=one.tokens.prompt_tokens,
            completion_tokens=one.tokens.completion_tokens,
            cached_tokens=one.tokens.cached_tokens,
            total_tokens=one.tokens.total,
        )
        for one in said
    ]


def grown(run: EvalRun, settled: Sequence[Settled], usage: Iterable[ModelUsage]) -> RunChanges:
    """The run's figures with those of some more items."""
    counts, statuses = run.result_counts, [each.status for each in settled]
    return {
        "result_counts": ResultCounts(
            total=counts.total,
            passed=counts.passed + statuses.count("pass"),
            failed=counts.failed + statuses.count("fail"),
            errored=counts.errored + statuses.count("error"),
        ),
        "per_testing_criteria_results": [
            counted(before, [each.results[place] for each in settled if each.results])
            for place, before in enumerate(run.per_testing_criteria_results)
        ],
        "per_model_usage": together([*run.per_model_usage, *usage]),
    }


def counted(before: CriterionCounts, results: Sequence[ItemResult]) -> CriterionCounts:
    """One criterion's counts with those of some more items."""
    graded = [result.passed for result in results if result.error is None]
    news = {"passed": before.passed + sum(graded), "failed": before.failed + len(graded) - sum(graded)}
    return before.model_copy(update=news)


def together(usages: Iterable[ModelUsage]) -> list[ModelUsage]:
    """One sum for each model, in the order in which models were first asked."""
    sums: dict[str, ModelUsage] = {}
    for one in usages:
        before = sums.get(one.model_name, ModelUsage(model_name=one.model_name))
        counts = {name: count + vars(before)[name] for name, count in one if isinstance(count, int)}
        sums[one.model_name] = before.model_copy(update=counts)
    return list(sums.values())
