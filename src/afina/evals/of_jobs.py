"""The eval that a reinforcement job has by itself: one run for each look at its validation file.

What is asked there is the job's grader: of a formula, each grader that it names, and then the formula's value.
"""

from pydantic import TypeAdapter

from afina import ids
from afina.evals.criteria import flag, result
from afina.graders.grade import Grade
from afina.schemas.eval_runs import CriterionCounts, EvalError, EvalRun, FileId, ItemResult, JsonlSource
from afina.schemas.evals import Criterion, CustomItems, Eval, source_of
from afina.schemas.fine_tuning import FineTuningJob
from afina.schemas.graders import Grader, MultiGrader, PartGrader

PASSES = 0.5  # of 1, where a grader says nothing of it
CRITERION: TypeAdapter[Criterion] = TypeAdapter(Criterion)


def eval_of(job: FineTuningJob, grader: Grader) -> Eval:
    """The eval of a job; its id follows from the job's."""
    items = CustomItems(type="custom", item_schema={"type": "object"}, include_sample_schema=True)
    return Eval(
        id=ids.eval_of_job(job.id),
        created_at=job.created_at,
        name=f"Validation of {job.id}",
        data_source_config=source_of(items),
        testing_criteria=criteria(grader),
        metadata={"fine_tuning_job_id": job.id},
    )


def run_of(job: FineTuningJob, grader: Grader, step: int, *, now: int) -> EvalRun:
    """The run of the look behind a step, without its items; its id follows from both."""
    assert job.validation_file is not None
    source = FileId(type="file_id", id=job.validation_file)
    return EvalRun(
        id=ids.eval_run_of_job(job.id, step),
        eval_id=ids.eval_of_job(job.id),
        created_at=now,
        name=f"Step {step}",
        model=job.model,
        status="completed",
        data_source=JsonlSource(type="jsonl", source=source),
        per_testing_criteria_results=[CriterionCounts(testing_criteria=one.name) for one in criteria(grader)],
        metadata={"fine_tuning_job_id": job.id, "step": str(step)},
    )


def criteria(grader: Grader) -> list[Criterion]:
    """What graders ask, as an eval asks it."""
    if isinstance(grader, MultiGrader):
        return [criterion(part, name) for name, part in grader.named.items()]
    return [criterion(grader, grader.name)]


def criterion(part: PartGrader, name: str) -> Criterion:
    """A grader under its name in a formula; similarities need a threshold."""
    least = {"pass_threshold": PASSES} if part.type == "text_similarity" else {}
    return CRITERION.validate_python({**part.model_dump(mode="json"), "name": name, **least})


def results(grader: Grader, grade: Grade) -> list[ItemResult]:
    """What every criterion says of a reply, then what the formula makes of it."""
    asked = criteria(grader)
    if not isinstance(grader, MultiGrader):
        return [result(asked[0], grade)]
    found = [result(each, part_of(grade, each.name)) for each in asked]
    return [*found, whole(grader, grade)]


def part_of(grade: Grade, name: str) -> Grade:
    """The grade by one grader of a formula. What went wrong is known of all together; a reply without form earns 0."""
    reward = grade.sub_rewards.get(name, None if grade.reward is None else 0.0)
    return Grade(reward, 0.0, grade.errors, grade.reason)


def whole(grader: MultiGrader, grade: Grade) -> ItemResult:
    """The value of the formula, which is the reward."""
    failed = grade.reward is None
    error = EvalError(code=flag(grade.errors), message=grade.reason or "") if failed else None
    score = grade.reward or 0.0
    return ItemResult(name=grader.name, type="multi", passed=score >= PASSES, score=score, error=error)
