"""The eval that a reinforcement job has by itself: its criteria are the job's grader."""

import pytest
from pydantic import TypeAdapter

from afina import ids
from afina.evals import of_jobs
from afina.graders.grade import Grade
from afina.schemas.fine_tuning import FineTuningJob, SupervisedMethod
from afina.schemas.graders import Grader, GraderErrors

CHECK = {
    "type": "string_check",
    "name": "same",
    "input": "{{sample.output_text}}",
    "reference": "{{item.want}}",
    "operation": "eq",
}
NEAR = {
    "type": "text_similarity",
    "name": "near",
    "input": "{{sample.output_text}}",
    "reference": "{{item.want}}",
    "evaluation_metric": "fuzzy_match",
}
MULTI = {"type": "multi", "graders": {"a": CHECK, "b": NEAR}, "calculate_output": "2 * a - b"}
MISSING = GraderErrors(sample_parse_error=True)


def grader(asked: dict[str, object]) -> Grader:
    return TypeAdapter(Grader).validate_python(asked)


def job(asked: dict[str, object]) -> FineTuningJob:
    return FineTuningJob.model_validate(
        {
            "id": "ftjob-abc",
            "created_at": 7,
            "model": "tiny",
            "organization_id": "org-a",
            "status": "running",
            "training_file": "file-a",
            "validation_file": "file-b",
            "seed": 1,
            "hyperparameters": {},
            "method": {"type": "reinforcement", "reinforcement": {"grader": asked}},
        }
    )


def test_the_eval_of_a_job_is_known_by_the_job():
    made = of_jobs.eval_of(job(CHECK), grader(CHECK))
    assert made.id == job(CHECK).eval_id == ids.eval_of_job("ftjob-abc")
    assert job(CHECK).wire()["eval_id"] == made.id
    assert made.metadata == {"fine_tuning_job_id": "ftjob-abc"}
    run = of_jobs.run_of(job(CHECK), grader(CHECK), 12, now=9)
    assert (run.eval_id, run.status, run.metadata) == (
        made.id,
        "completed",
        {"fine_tuning_job_id": "ftjob-abc", "step": "12"},
    )


def test_a_job_without_a_grader_has_no_eval():
    plain = job(CHECK).model_copy(update={"method": SupervisedMethod(type="supervised")})
    assert plain.eval_id is None


@pytest.mark.parametrize(
    ("asked", "named"),
    [(CHECK, ["same"]), (NEAR, ["near"]), (MULTI, ["a", "b"])],
    ids=["one", "near", "multi"],
)
def test_criteria_are_the_graders_by_their_names(asked: dict[str, object], named: list[str]):
    found = of_jobs.criteria(grader(asked))
    assert [each.name for each in found] == named
    assert all(getattr(each, "pass_threshold", 0.5) == 0.5 for each in found)


@pytest.mark.parametrize(
    ("grade", "found"),
    [
        (Grade(1.0, 0.1, sub_rewards={"a": 1.0, "b": 1.0}), [(1.0, True), (1.0, True), (1.0, True)]),
        (Grade(-0.3, 0.1, sub_rewards={"a": 0.0, "b": 0.3}), [(0.0, False), (0.3, False), (-0.3, False)]),
        # A reply that is not in the form that a grader reads earns 0.
        (Grade(0.0, 0.1, MISSING, "no JSON", {"a": 1.0}), [(1.0, True), (0.0, False), (0.0, False)]),
    ],
)
def test_a_formula_shows_its_parts_and_its_value(grade: Grade, found: list[tuple[float, bool]]):
    results = of_jobs.results(grader(MULTI), grade)
    assert [(result.score, result.passed) for result in results] == found
    assert [result.name for result in results] == ["a", "b", "multi"]
    assert not any(result.error for result in results)


def test_what_could_not_be_graded_is_an_error():
    failed = Grade(None, 0.1, GraderErrors(invalid_variable_error=True), "there is no item.b", {"a": 1.0})
    one, two, all_together = of_jobs.results(grader(MULTI), failed)
    assert one.error is None and one.passed
    assert two.error is not None and two.error.code == "invalid_variable_error"
    assert all_together.error is not None and not all_together.passed
    (alone,) = of_jobs.results(grader(CHECK), failed)
    assert alone.error is not None and alone.error.message == "there is no item.b"
