"""A reinforcement job in its worker: which checkpoints are kept, which becomes the model, what its eval shows."""

import json

import pytest

from afina import ids
from afina.errors import CorruptBlob
from afina.evals import of_jobs
from afina.schemas.eval_runs import EvalError
from afina.schemas.fine_tuning import FineTuningJob, JobCheckpoint, ReinforcementMethod, StepMetrics
from afina.schemas.graders import GraderErrors
from afina.store import checkpoints, eval_items, eval_runs, evals, events, files
from afina.store.events import NewEvent
from afina.training import looks as looks_of_run
from afina.training.looks import Heard
from afina.worker import looks, publish
from afina.worker.context import Hold

GRADER = {
    "type": "string_check",
    "name": "anything",
    "input": "{{sample.output_text}}",
    "reference": "{{item.want}}",
    "operation": "like",
}
METHOD = ReinforcementMethod.model_validate(
    {
        "type": "reinforcement",
        "reinforcement": {
            "grader": GRADER,
            "hyperparameters": {
                "n_epochs": 3,
                "batch_size": 4,
                "compute_multiplier": 0.25,
                "eval_interval": 2,
            },
        },
    }
)


def prompts(count: int) -> bytes:
    rows = [{"messages": [{"role": "user", "content": f"Say {n}."}], "want": ""} for n in range(count)]
    return "".join(json.dumps(row) + "\n" for row in rows).encode()


def test_a_whole_job(rooms, new_worker, until, fake_engine):
    """Whatever is said contains nothing, so everything earns everything, and the first checkpoint is the best."""
    validation = rooms.upload(prompts(3)).id
    job = rooms.submit(prompts(10), validation_file=validation, method=METHOD)
    with new_worker():
        until(lambda: rooms.job(job.id).status in ("succeeded", "failed"))
    done = rooms.job(job.id)
    assert (done.status, done.error) == ("succeeded", None)
    numbers = done.method.hyperparameters
    assert (numbers.eval_samples, numbers.eval_interval, done.afina.total_steps) == (2, 2, 9)
    assert rooms.steps(job.id) == list(range(1, 10))
    said = rooms.said(job.id)
    assert sum(words.startswith("All samples of the first step") for words in said) == 1
    made = [words for words in said if words.startswith("Checkpoint created")]
    assert [words.split()[4] for words in made] == ["2", "4", "6"]
    with rooms.database.read(rooms.project) as scope:
        kept = checkpoints.page(scope, job.id).data
    assert [one.step_number for one in kept] == [6, 4, 2]
    assert rooms.weights(done.fine_tuned_model) == rooms.weights(kept[-1].fine_tuned_model_checkpoint)
    assert done.trained_tokens > 0
    figures = rooms.said(job.id, type="metrics")
    assert figures[0] == "Step 1/9 , train mean reward=1.00"
    assert figures[1] == (
        "Step 2/9 , train mean reward=1.00, full validation mean reward=1.00, "
        "full validation mean parse error=0.00"
    )


@pytest.mark.parametrize("deleted", [False, True])
def test_each_look_at_the_validation_file_is_a_run_of_the_jobs_eval(
    rooms, new_worker, until, fake_engine, deleted
):
    job = rooms.submit(prompts(10), validation_file=rooms.upload(prompts(3)).id, method=METHOD)
    with rooms.database.scope(rooms.project) as scope:
        evals.insert(scope, of_jobs.eval_of(job, job.method.grader))
        if deleted:
            evals.delete(scope, job.eval_id)
    with new_worker():
        until(lambda: rooms.job(job.id).status in ("succeeded", "failed"))
    assert rooms.job(job.id).status == "succeeded"
    with rooms.database.read(rooms.project) as scope:
        runs = eval_runs.page(scope, job.eval_id).data
        items = [eval_items.page(scope, run.id).data for run in runs]
    if deleted:
        assert runs == []
        return
    assert [run.metadata["step"] for run in runs] == ["2", "4", "6", "8", "9"]
    counts = {"total": 6, "passed": 6, "failed": 0, "errored": 0}
    assert all(run.status == "completed" and run.result_counts.model_dump() == counts for run in runs)
    first = items[0][0]
    assert (first.datasource_item_id, first.datasource_item, first.status) == (0, {"want": ""}, "pass")
    assert [message.content for message in first.sample.input] == ["Say 0."]
    assert first.sample.output[0].role == "assistant"
    assert [(result.name, result.score) for result in first.results] == [("anything", 1.0)]
    assert [item.datasource_item_id for item in items[0]] == [0, 0, 1, 1, 2, 2]


def heard(question: int, reward: float | None) -> Heard:
    failed = reward is None
    return Heard(
        question=question,
        text="yes",
        prompt_tokens=5,
        completion_tokens=2,
        reward=reward,
        errors=GraderErrors(other_error=failed),
        reason="out of order" if failed else None,
        sub_rewards={},
        said=[],
    )


def test_a_look_that_is_turned_again_is_one_run(rooms, context, validated, tmp_path):
    job = validated(prompts(10), validation_file=rooms.upload(prompts(3)).id, method=METHOD)
    hold = Hold(rooms.claim("train"))
    with rooms.database.scope(rooms.project) as scope:
        evals.insert(scope, of_jobs.eval_of(job, job.method.grader))
    looks_of_run.write(tmp_path, 4, [heard(0, 1.0), heard(1, 0.0), heard(2, None)])
    for _ in range(2):
        looks.publish(context, hold, job, folder=tmp_path, step=4)
    looks.publish(context, hold, job, folder=tmp_path, step=6)  # of a run that did not keep what it heard
    with rooms.database.read(rooms.project) as scope:
        (run,) = eval_runs.page(scope, job.eval_id).data
        items = eval_items.page(scope, run.id).data
    assert run.result_counts.model_dump() == {"total": 3, "passed": 1, "failed": 1, "errored": 1}
    assert [item.status for item in items] == ["pass", "fail", "error"]
    assert items[2].results[0].error == EvalError(code="other_error", message="out of order")
    (usage,) = run.per_model_usage
    assert (usage.model_name, usage.invocation_count, usage.total_tokens) == (job.model, 3, 21)
    assert rooms.attempts(run.id) is None, "nobody works on it"


@pytest.fixture
def looked(rooms, context, validated, tmp_path):
    """A job that has turned a look behind step 4, and how it turns others."""
    job = validated(prompts(10), validation_file=rooms.upload(prompts(3)).id, method=METHOD)
    hold = Hold(rooms.claim("train"))
    with rooms.database.scope(rooms.project) as scope:
        evals.insert(scope, of_jobs.eval_of(job, job.method.grader))

    def look(step: int) -> FineTuningJob:
        looks_of_run.write(tmp_path, step, [heard(0, 1.0)])
        looks.publish(context, hold, job, folder=tmp_path, step=step)
        return job

    look(4)
    return look


def test_a_run_that_a_user_has_deleted_does_not_come_back(rooms, looked):
    job = looked(4)
    with rooms.database.scope(rooms.project) as scope:
        events.append(scope, job.id, [NewEvent(f"Step {n}", step=n) for n in (4, 5, 6)], fence=None)
        eval_runs.delete(scope, job.eval_id, ids.eval_run_of_job(job.id, 4))
    looked(4)
    looked(6)
    with rooms.database.read(rooms.project) as scope:
        assert [run.metadata["step"] for run in eval_runs.page(scope, job.eval_id).data] == ["6"]


def test_the_validation_file_is_not_read_for_a_run_that_is_there(rooms, looked):
    job = looked(4)
    with rooms.database.read(rooms.project) as scope:
        file = files.get(scope, job.validation_file)
    rooms.blobs.delete(file.blob)
    looked(4)
    with pytest.raises(CorruptBlob):
        looked(6)


def checkpoint(step: int, reward: float | None) -> JobCheckpoint:
    figures = {} if reward is None else {"full_valid_mean_reward": reward}
    return JobCheckpoint(
        id=f"ftckpt_{step}",
        created_at=1,
        fine_tuned_model_checkpoint=f"ft:{step}",
        fine_tuning_job_id="ftjob-a",
        step_number=step,
        metrics={"step": step, **figures},
    )


@pytest.mark.parametrize(
    ("reward", "step", "wanted"),
    [(0.9, 8, True), (0.3, 8, False), (0.25, 8, False), (0.35, 8, True), (None, 8, False), (0.9, 6, False)],
)
def test_what_is_not_among_the_three_best_is_not_published(rooms, reward, step, wanted):
    job = rooms.submit(method=METHOD)
    known = [checkpoint(6, 0.5), checkpoint(4, 0.3), checkpoint(2, 0.4)]
    metrics = StepMetrics(step=step, full_valid_mean_reward=reward)
    assert publish.wanted(job, known, metrics) is wanted
    assert publish.wanted(job, [], metrics)


def test_the_best_come_first_and_of_equal_ones_the_earliest(rooms):
    known = [checkpoint(8, 0.5), checkpoint(6, None), checkpoint(4, 0.5), checkpoint(2, -1.0)]
    ranked = publish.ranked(rooms.submit(method=METHOD), known)
    assert [one.step_number for one in ranked] == [4, 8, 2, 6]
    assert publish.ranked(rooms.submit(), known) == known


def test_only_plain_figures_are_those_of_a_checkpoint():
    metrics = StepMetrics.model_validate(
        {"step": 2, "total_steps": 4, "full_valid_mean_reward": 0.5, "scores": {"train_reward_mean": 0.1}}
    )
    assert publish.flat(metrics) == {"step": 2, "full_valid_mean_reward": 0.5}
