"""A file becomes a job, the job a model, the model an answer: the whole story by the plain client."""

import base64
import csv
import io

import httpx
import openai
import pytest
from openai import OpenAI
from openai.types.fine_tuning import FineTuningJob

from afina_server import Server, answer, ended, events, jsonl, rows, steps, tune, upload

QUESTION = [{"role": "user", "content": "Who is number 3?"}]
HEADER = ["step", "train_loss", "train_accuracy", "valid_loss", "valid_mean_token_accuracy"]


@pytest.fixture(scope="module")
def training_file(server: Server) -> str:
    return upload(server.client(), jsonl(rows(16)), "who.jsonl").id


@pytest.fixture(scope="module")
def job(server: Server, training_file: str) -> FineTuningJob:
    """A finished job over 16 rows with a validation file: 4 epochs of 4 steps."""
    client = server.client()
    validation_file = upload(client, jsonl(rows(6, first=16)), "who_valid.jsonl").id
    made = client.fine_tuning.jobs.create(
        model="gpt-4o-mini-2024-07-18",
        training_file=training_file,
        validation_file=validation_file,
        suffix="story",
        seed=11,
        metadata={"told": "here"},
        method={
            "type": "supervised",
            "supervised": {
                "hyperparameters": {"n_epochs": 4, "batch_size": 4, "learning_rate_multiplier": "auto"}
            },
        },
    )
    assert made.status in ("validating_files", "queued", "running")
    assert made.fine_tuned_model is None and made.result_files == []
    return ended(client, made.id)


@pytest.fixture(scope="module")
def names(server: Server, job: FineTuningJob) -> list[str]:
    """The models of the job's checkpoints, newest first."""
    listed = server.client().fine_tuning.jobs.checkpoints.list(job.id).data
    return [point.fine_tuned_model_checkpoint for point in listed]


def test_an_uploaded_file_comes_back_byte_for_byte(client: OpenAI, training_file: str) -> None:
    file = client.files.retrieve(training_file)
    assert (file.filename, file.purpose, file.status) == ("who.jsonl", "fine-tune", "processed")
    assert client.files.content(training_file).read() == jsonl(rows(16))
    assert training_file in [other.id for other in client.files.list(purpose="fine-tune")]


def test_the_job_says_what_it_became(job: FineTuningJob) -> None:
    assert (job.status, job.error) == ("succeeded", None)
    assert job.model == "afina-tiny"
    assert job.fine_tuned_model is not None
    assert job.fine_tuned_model.startswith("ft:afina-tiny:personal:story:")
    assert (job.seed, job.metadata) == (11, {"told": "here"})
    assert job.trained_tokens is not None and job.trained_tokens > 0
    assert job.finished_at is not None and job.finished_at >= job.created_at
    assert job.method is not None and job.method.supervised is not None
    numbers = job.method.supervised.hyperparameters
    assert numbers is not None
    assert (numbers.n_epochs, numbers.batch_size) == (4, 4)
    assert isinstance(numbers.learning_rate_multiplier, float | int)


def test_events_tell_the_story_in_order(client: OpenAI, job: FineTuningJob) -> None:
    told = [
        event.message for event in events(client, job.id) if event.type == "message" and event.level == "info"
    ]
    files = f"Validating training file: {job.training_file} and validation file: {job.validation_file}"
    assert told[:4] == [
        f"Created fine-tuning job: {job.id}",
        files,
        "Files validated, moving job to queued state",
        "Fine-tuning job started",
    ]
    assert [text.partition(" with ")[0] for text in told[4:-2]] == [
        f"Checkpoint created at step {step}" for step in (4, 8, 12)
    ]
    assert told[-2:] == [
        f"New fine-tuned model created: {job.fine_tuned_model}",
        "The job has successfully completed",
    ]


def test_each_step_is_reported_once_and_epochs_with_their_validation_loss(
    client: OpenAI, job: FineTuningJob
) -> None:
    metrics = [event for event in events(client, job.id) if event.type == "metrics"]
    assert [event.data["step"] for event in metrics] == list(range(1, 17))
    for event in metrics:
        text = f"Step {event.data['step']}/16: training loss={event.data['train_loss']:.2f}"
        assert event.message.startswith(text)
    whole = {event.data["step"] for event in metrics if "full_valid_loss" in event.data}
    assert whole == {4, 8, 12, 16}
    assert ", full validation loss=" in metrics[-1].message


def test_events_come_in_pages_newest_first(client: OpenAI, job: FineTuningJob) -> None:
    first = client.fine_tuning.jobs.list_events(job.id, limit=5)
    assert first.has_more and len(first.data) == 5
    assert first.data[0].message == "The job has successfully completed"
    everything = [event.id for event in client.fine_tuning.jobs.list_events(job.id, limit=5)]
    assert everything == [event.id for event in events(client, job.id)][::-1]
    assert len(set(everything)) == len(everything)


def test_an_openai_name_that_stands_for_the_bundled_base_says_so(client: OpenAI, job: FineTuningJob) -> None:
    doubts = [event.message for event in events(client, job.id) if event.level == "warn"]
    assert any("gpt-4o-mini-2024-07-18" in text and "afina-tiny" in text for text in doubts)
    raw = client.chat.completions.with_raw_response
    aliased = raw.create(model="gpt-4o-mini", messages=QUESTION, max_tokens=1)
    assert "afina-tiny" in aliased.headers["x-afina-warning"]
    assert aliased.parse().model == "gpt-4o-mini"
    assert "x-afina-warning" not in raw.create(model="afina-tiny", messages=QUESTION, max_tokens=1).headers


def test_the_result_file_is_the_base64_of_a_table(client: OpenAI, job: FineTuningJob) -> None:
    (result,) = job.result_files
    assert client.files.retrieve(result).purpose == "fine-tune-results"
    text = base64.b64decode(client.files.content(result).read(), validate=True).decode()
    table = list(csv.DictReader(io.StringIO(text)))
    assert list(table[0]) == HEADER
    assert [int(row["step"]) for row in table] == list(range(1, 17))
    assert all(row["valid_loss"] for row in table if int(row["step"]) % 4 == 0)
    losses = [float(row["train_loss"]) for row in table]
    assert sum(losses[-4:]) < sum(losses[:4])


def test_the_last_three_epochs_are_checkpoints(client: OpenAI, job: FineTuningJob, names: list[str]) -> None:
    points = client.fine_tuning.jobs.checkpoints.list(job.id).data
    assert [point.step_number for point in points] == [16, 12, 8]
    assert names[0] == job.fine_tuned_model
    assert [name.rpartition(":")[2] for name in names[1:]] == ["ckpt-step-12", "ckpt-step-8"]
    for point in points:
        assert point.fine_tuning_job_id == job.id
        assert point.metrics.full_valid_loss is not None
        assert point.metrics.full_valid_mean_token_accuracy is not None


def test_base_checkpoints_and_model_all_answer(client: OpenAI, names: list[str]) -> None:
    answers = [answer(client, model) for model in ("afina-tiny", *names)]
    assert len(answers) == 4
    assert answers[0] != answers[1]


def scored(client: OpenAI, model: str, inputs: list[dict[str, object]]) -> list[dict[str, float]]:
    reply = client.post("/afina/scores", body={"model": model, "inputs": inputs}, cast_to=httpx.Response)
    assert reply.json()["object"] == "list"
    return reply.json()["data"]


def test_scores_of_the_validation_rows_are_the_jobs_validation_loss(
    client: OpenAI, job: FineTuningJob, names: list[str]
) -> None:
    whole = {e.data["step"]: e.data for e in events(client, job.id) if "full_valid_loss" in (e.data or {})}
    for step, name in zip((16, 12, 8), names, strict=True):
        scores = scored(client, name, rows(6, first=16))
        tokens = sum(score["tokens"] for score in scores)
        loss = sum(score["loss"] * score["tokens"] for score in scores) / tokens
        assert loss == pytest.approx(whole[step]["full_valid_loss"], abs=1e-4)
        right = sum(score["correct"] for score in scores) / tokens
        assert right == pytest.approx(whole[step]["full_valid_mean_token_accuracy"], abs=1e-9)


def test_examples_before_an_answer_change_what_it_is_read_behind_and_nothing_else(
    client: OpenAI, names: list[str]
) -> None:
    asked = rows(3, first=16)
    before = [message for row in rows(2) for message in row["messages"]]
    context = [{**m, "weight": 0} if m["role"] == "assistant" else m for m in before]
    behind = [{"messages": [*context, *row["messages"]]} for row in asked]
    alone, shown = scored(client, names[0], asked), scored(client, names[0], behind)
    assert [score["tokens"] for score in shown] == [score["tokens"] for score in alone]
    assert all(a["loss"] != b["loss"] for a, b in zip(alone, shown, strict=True))
    one_by_one = [scored(client, names[0], [row])[0]["loss"] for row in behind]
    assert [score["loss"] for score in shown] == pytest.approx(one_by_one, abs=1e-5)


def test_a_stream_says_the_same_as_the_whole_answer(client: OpenAI, names: list[str]) -> None:
    for model in ("afina-tiny", names[0], names[2]):
        chunks = list(
            client.chat.completions.create(
                model=model,
                messages=QUESTION,
                temperature=0,
                max_tokens=16,
                stream=True,
                stream_options={"include_usage": True},
            )
        )
        said = [choice for chunk in chunks for choice in chunk.choices]
        assert "".join(choice.delta.content or "" for choice in said) == answer(client, model)
        assert said[0].delta.role == "assistant"
        assert [choice.finish_reason for choice in said if choice.finish_reason] == [said[-1].finish_reason]
        assert chunks[-1].choices == [] and chunks[-1].usage is not None
        assert {chunk.model for chunk in chunks} == {model}


def test_the_models_are_listed_and_one_can_be_deleted(server: Server, training_file: str) -> None:
    client = server.client()
    model = ended(client, tune(client, training_file, n_epochs=1, batch_size=8).id).fine_tuned_model
    assert model is not None
    assert {"afina-tiny", model} <= {listed.id for listed in client.models.list()}
    assert client.models.retrieve(model).id == model
    assert answer(client, model, max_tokens=1)
    assert client.models.delete(model).deleted
    assert model not in {listed.id for listed in client.models.list()}
    with pytest.raises(openai.NotFoundError):
        client.models.retrieve(model)
    with pytest.raises(openai.NotFoundError):
        answer(client, model)


def test_a_job_goes_on_from_a_tuned_model(client: OpenAI, server: Server, job: FineTuningJob) -> None:
    assert job.fine_tuned_model is not None
    second = client.fine_tuning.jobs.create(
        model=job.fine_tuned_model,
        training_file=job.training_file,
        seed=11,
        hyperparameters={"n_epochs": 1, "batch_size": 4},
    )
    second = ended(client, second.id)
    assert (second.status, second.model) == ("succeeded", "afina-tiny")
    assert second.fine_tuned_model is not None
    assert second.fine_tuned_model.startswith("ft:afina-tiny:personal::")
    began, went_on = (
        next(event.data["train_loss"] for event in events(client, one.id) if event.type == "metrics")
        for one in (job, second)
    )
    assert went_on < began
    assert server.weights(second.fine_tuned_model) != server.weights(job.fine_tuned_model)


def test_the_deprecated_hyperparameters_say_the_same_as_the_method(
    client: OpenAI, server: Server, training_file: str
) -> None:
    numbers = {"n_epochs": 1, "batch_size": 8, "learning_rate_multiplier": 2.0}
    old = client.fine_tuning.jobs.create(
        model="afina-tiny", training_file=training_file, seed=5, hyperparameters=numbers
    )
    new = client.fine_tuning.jobs.create(
        model="afina-tiny",
        training_file=training_file,
        seed=5,
        method={"type": "supervised", "supervised": {"hyperparameters": numbers}},
    )
    old, new = ended(client, old.id), ended(client, new.id)
    assert old.hyperparameters == new.hyperparameters
    assert old.fine_tuned_model and new.fine_tuned_model
    assert server.weights(old.fine_tuned_model) == server.weights(new.fine_tuned_model)


def test_an_idempotency_key_makes_one_job(client: OpenAI, training_file: str) -> None:
    def submit(key: str | None, seed: int = 1) -> str:
        headers = {"Idempotency-Key": key} if key else {}
        made = client.fine_tuning.jobs.create(
            model="afina-tiny", training_file=training_file, seed=seed, extra_headers=headers
        )
        client.fine_tuning.jobs.cancel(made.id) if made.status != "cancelled" else None
        return made.id

    first = submit("once")
    assert submit("once") == first
    assert submit("another") != first
    assert submit(None) != submit(None)
    with pytest.raises(openai.BadRequestError) as refused:
        submit("once", seed=2)
    assert refused.value.code == "idempotency_key_reused"


def test_a_cancelled_job_takes_no_further_step(client: OpenAI, training_file: str) -> None:
    made = tune(client, training_file, n_epochs=50, batch_size=1)
    cancelled = client.fine_tuning.jobs.cancel(made.id)
    assert (cancelled.status, cancelled.fine_tuned_model) == ("cancelled", None)
    seen = steps(client, made.id)
    follower = ended(client, tune(client, training_file, n_epochs=1, batch_size=8).id)
    assert follower.status == "succeeded"
    assert steps(client, made.id) == seen
    with pytest.raises(openai.BadRequestError) as refused:
        client.fine_tuning.jobs.cancel(made.id)
    assert refused.value.code == "invalid_state"
