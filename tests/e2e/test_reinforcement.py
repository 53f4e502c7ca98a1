"""Reinforcement fine-tuning by the plain client: it learns what is rewarded, and what is refused."""

import openai
import pytest
from openai import OpenAI

from afina_server import Server, ended, events, jsonl, upload

WORDS = ("yes", "no", "red", "blue", "one", "two", "up", "down")
GRADER = {
    "type": "text_similarity",
    "name": "near",
    "input": "{{sample.output_text}}",
    "reference": "{{item.want}}",
    "evaluation_metric": "fuzzy_match",
}
NUMBERS = {"n_epochs": 2, "batch_size": 4, "eval_interval": 2, "learning_rate_multiplier": 2.0}


def prompts(*sayings: str) -> list[dict]:
    return [
        {"messages": [{"role": "user", "content": f"{say} the word {word}."}], "want": word}
        for say in sayings
        for word in WORDS
    ]


@pytest.fixture(scope="module")
def files(server: Server) -> dict[str, str]:
    client = server.client()
    train, valid = jsonl(prompts("Say", "Write", "Repeat")), jsonl(prompts("Give"))
    return {
        "training_file": upload(client, train, "train.jsonl").id,
        "validation_file": upload(client, valid, "valid.jsonl").id,
    }


def reinforce(client: OpenAI, files: dict[str, str], grader: object = GRADER, **fields: object):
    method = {"type": "reinforcement", "reinforcement": {"grader": grader, **fields}}
    return client.fine_tuning.jobs.create(
        model="afina-tiny",
        method=method,
        seed=2,
        extra_body={"afina": {"max_completion_tokens": 48}},
        **files,
    )


def test_what_is_rewarded_is_learnt(server: Server, files: dict[str, str]) -> None:
    client = server.client()
    made = reinforce(client, files, hyperparameters=NUMBERS)
    assert made.method.reinforcement.grader.to_dict() == GRADER
    assert made.method.reinforcement.hyperparameters.compute_multiplier == "auto"
    job = ended(client, made.id, seconds=600)
    assert job.status == "succeeded", job.error
    numbers = job.method.reinforcement.hyperparameters
    assert (numbers.compute_multiplier, numbers.eval_samples, numbers.reasoning_effort) == (1.0, 2, "default")
    assert job.hyperparameters.batch_size == 4 and job.trained_tokens > 0
    said = events(client, job.id)
    figures = [event.data for event in said if event.type == "metrics"]
    rewards = [of["train_mean_reward"] for of in figures]
    assert [of["step"] for of in figures] == list(range(1, 13))
    assert sum(rewards[-3:]) > sum(rewards[:3])
    assert [of["step"] for of in figures if "full_valid_mean_reward" in of] == [2, 4, 6, 8, 10, 12]
    last = figures[-1]
    words = f"Step 12/12 , train mean reward={last['train_mean_reward']:.2f}, full validation mean reward="
    assert any(event.message.startswith(words) for event in said)
    check_checkpoints(client, server, job, figures)
    check_eval(client, job, figures)


def check_eval(client: OpenAI, job, figures) -> None:
    """Each look at the validation file is a run of the job's eval, whose items have a prompt, a reply and its grade."""
    looked = {of["step"]: of["full_valid_mean_reward"] for of in figures if "full_valid_mean_reward" in of}
    assert client.evals.retrieve(job.eval_id).testing_criteria[0].name == GRADER["name"]
    runs = list(client.evals.runs.list(job.eval_id))
    assert [int(run.metadata["step"]) for run in runs] == list(looked)
    for run in runs:
        items = list(client.evals.runs.output_items.list(run.id, eval_id=job.eval_id))
        assert len(items) == run.result_counts.total == len(WORDS) * 2
        mean = sum(item.results[0].score for item in items) / len(items)
        assert mean == pytest.approx(looked[int(run.metadata["step"])])
        assert [message.content for message in items[0].sample.input] == ["Give the word yes."]
        assert items[0].sample.output[0].content and items[0].datasource_item == {"want": "yes"}


def check_checkpoints(client: OpenAI, server: Server, job, figures) -> None:
    """The three best are kept, and the best of them is the model."""
    earned = {of["step"]: of["full_valid_mean_reward"] for of in figures if "full_valid_mean_reward" in of}
    best = sorted(earned, key=lambda step: (-earned[step], step))[:3]
    kept = {point.step_number: point for point in client.fine_tuning.jobs.checkpoints.list(job.id)}
    assert sorted(kept) == sorted(best)
    point = kept[best[0]]
    assert point.metrics.full_valid_mean_reward == earned[best[0]]
    assert server.weights(point.fine_tuned_model_checkpoint) == server.weights(job.fine_tuned_model)
    for model in (job.fine_tuned_model, point.fine_tuned_model_checkpoint):
        reply = client.chat.completions.create(
            model=model, messages=prompts("Say")[0]["messages"], max_tokens=4
        )
        assert reply.model == model and reply.choices[0].message.content


def test_a_grader_that_fails_ends_the_job(client: OpenAI, files: dict[str, str]) -> None:
    grader = GRADER | {"input": "{{sample.output_nothing}}"}
    job = ended(client, reinforce(client, files, grader).id)
    assert (job.status, job.error.code) == ("failed", "grader_failed")
    assert job.fine_tuned_model is None


def test_what_the_grader_refers_to_has_to_be_there(client: OpenAI, files: dict[str, str]) -> None:
    job = ended(client, reinforce(client, files, GRADER | {"reference": "{{item.answer}}"}).id)
    assert (job.status, job.error.code, job.error.param) == (
        "failed",
        "invalid_training_file",
        "training_file",
    )
    assert "Example 1: grader refers to item.answer, absent in example 1" in job.error.message


def test_a_file_of_conversations_fails_the_job(client: OpenAI, files: dict[str, str]) -> None:
    answered = [
        {"messages": [*row["messages"], {"role": "assistant", "content": "yes"}]}
        for row in prompts("Say", "Try")
    ]
    chats = upload(client, jsonl(answered), "chats.jsonl").id
    job = ended(client, reinforce(client, files | {"training_file": chats}).id)
    assert "Example 1: last message must be from user" in job.error.message


NUMBER = {
    "type": "object",
    "properties": {"n": {"type": "integer"}},
    "required": ["n"],
    "additionalProperties": False,
}


@pytest.mark.parametrize(
    ("grader", "fields", "param"),
    [
        ({"type": "string_check"}, {}, "method.reinforcement.grader.name"),
        (GRADER | {"type": "magic"}, {}, "method.reinforcement.grader.type"),
        (GRADER | {"input": "{{env.KEY}}"}, {}, "method.reinforcement.grader.input"),
        (GRADER | {"evaluation_metric": "cosine"}, {}, "method.reinforcement.grader.evaluation_metric"),
        (
            {"type": "python", "name": "p", "source": "def grade(sample):\n    return 1.0"},
            {},
            "method.reinforcement.grader.source",
        ),
        (
            {"type": "multi", "graders": {"a": GRADER}, "calculate_output": "a +"},
            {},
            "method.reinforcement.grader.calculate_output",
        ),
        (
            GRADER,
            {
                "response_format": {
                    "type": "json_schema",
                    "json_schema": {"name": "n", "schema": {"type": "odd"}},
                }
            },
            "method.reinforcement.response_format",
        ),
        *(
            (GRADER, {"hyperparameters": {name: bad}}, f"method.reinforcement.hyperparameters.{name}")
            for name, bad in [
                ("compute_multiplier", 0),
                ("compute_multiplier", 11),
                ("eval_interval", 0),
                ("eval_samples", 0),
                ("reasoning_effort", "huge"),
                ("beta", 0.1),
                ("n_epochs", 51),
            ]
        ),
    ],
)
def test_what_cannot_be_is_refused_at_once(
    client: OpenAI, files: dict[str, str], grader: object, fields: dict, param: str
) -> None:
    with pytest.raises(openai.BadRequestError) as refused:
        reinforce(client, files, grader, **fields)
    assert refused.value.param == param


def test_a_validation_file_is_required(client: OpenAI, files: dict[str, str]) -> None:
    with pytest.raises(openai.BadRequestError) as refused:
        reinforce(client, {"training_file": files["training_file"]})
    assert (refused.value.param, refused.value.code) == ("validation_file", "missing_required_parameter")


def test_a_judge_has_to_be_a_model_of_the_project(client: OpenAI, files: dict[str, str]) -> None:
    judge = {
        "type": "score_model",
        "name": "j",
        "model": "ft:afina-tiny:elsewhere::abcdefgh",
        "input": [{"role": "user", "content": "{{sample.output_text}}"}],
    }
    with pytest.raises(openai.NotFoundError):
        reinforce(client, files, judge)


def test_a_model_may_be_the_judge_and_replies_may_have_a_form(client: OpenAI, files: dict[str, str]) -> None:
    """The judge sits on the host of the run that asks it. It may say too little for a grade, and does."""
    judge = {
        "type": "score_model",
        "name": "j",
        "model": "afina-tiny",
        "input": [{"role": "user", "content": "Grade {{sample.output_json.n}}."}],
        "sampling_params": {"max_completions_tokens": 4, "temperature": 0},
    }
    form = {"type": "json_schema", "json_schema": {"name": "number", "schema": NUMBER, "strict": True}}
    made = reinforce(client, files, judge, response_format=form)
    assert made.method.reinforcement.to_dict()["response_format"]["json_schema"]["schema"] == NUMBER
    job = ended(client, made.id, 600)
    assert (job.status, job.error.code) == ("failed", "grader_failed")
    assert "model_grader_parse_error" in job.error.message


def test_reinforcement_has_no_estimate(client: OpenAI, files: dict[str, str]) -> None:
    body = {
        "model": "afina-tiny",
        **files,
        "method": {"type": "reinforcement", "reinforcement": {"grader": GRADER}},
    }
    with pytest.raises(openai.BadRequestError) as refused:
        client.post("/afina/estimates", body=body, cast_to=object)
    assert refused.value.param == "method"
