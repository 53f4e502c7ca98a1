"""Preference fine-tuning by the plain client: on the base, on a tuned model, and what is refused."""

import openai
import pytest
from openai import OpenAI

from afina_server import Server, ended, events, jsonl, rows, tune, upload

METHOD = {"type": "dpo", "dpo": {"hyperparameters": {"n_epochs": 4, "batch_size": 4, "beta": 0.1}}}


def pairs(count: int, *, first: int = 0) -> list[dict]:
    """Questions of which the good answer is short and the other one is long."""
    return [
        {
            "input": {"messages": [{"role": "user", "content": f"Is shelf {first + n} free?"}]},
            "preferred_output": [{"role": "assistant", "content": f"Yes, {first + n} is."}],
            "non_preferred_output": [{"role": "assistant", "content": "I would rather not say so today."}],
        }
        for n in range(count)
    ]


@pytest.fixture(scope="module")
def files(server: Server) -> tuple[str, str]:
    client = server.client()
    train, valid = pairs(16), pairs(6, first=40)
    return upload(client, jsonl(train), "pairs.jsonl").id, upload(client, jsonl(valid), "more.jsonl").id


def test_preferences_are_learnt_from_a_tuned_model_on(server: Server, files: tuple[str, str]) -> None:
    """First the good answers, then the pairs: the flow that OpenAI's guide recommends."""
    client = server.client()
    taught = ended(client, tune(client, upload(client, jsonl(rows(16)), "who.jsonl").id, n_epochs=1).id)
    made = client.fine_tuning.jobs.create(
        model=taught.fine_tuned_model, training_file=files[0], validation_file=files[1], method=METHOD, seed=3
    )
    job = ended(client, made.id)
    assert job.status == "succeeded", job.error
    assert job.method.type == "dpo" and job.method.supervised is None
    numbers = job.method.dpo.hyperparameters
    assert (numbers.n_epochs, numbers.batch_size, numbers.beta) == (4, 4, 0.1)
    assert numbers.learning_rate_multiplier == 1.0
    assert job.hyperparameters.n_epochs == 4
    figures = [event.data for event in events(client, job.id) if event.type == "metrics"]
    assert [of["step"] for of in figures] == list(range(1, 17))
    assert figures[0]["train_loss"] == pytest.approx(0.6931, abs=1e-3)
    assert figures[-1]["train_loss"] < figures[0]["train_loss"]
    assert figures[-1]["full_valid_reward_accuracy"] > 0.5
    said = client.chat.completions.create(
        model=job.fine_tuned_model, messages=pairs(1, first=70)[0]["input"]["messages"], max_tokens=8
    )
    assert said.model == job.fine_tuned_model and said.choices[0].message.content


def test_numbers_are_chosen_where_none_are_given(client: OpenAI, files: tuple[str, str]) -> None:
    made = client.fine_tuning.jobs.create(model="afina-tiny", training_file=files[0], method={"type": "dpo"})
    assert made.method.dpo.hyperparameters.beta == "auto"
    job = ended(client, made.id)
    numbers = job.method.dpo.hyperparameters
    assert job.status == "succeeded", job.error
    assert (numbers.n_epochs, numbers.batch_size, numbers.beta) == (6, 1, 0.1)


def test_a_file_of_the_other_format_fails_the_job(client: OpenAI, files: tuple[str, str]) -> None:
    chats = upload(client, jsonl(rows(12)), "chats.jsonl").id
    wrong = [
        client.fine_tuning.jobs.create(model="afina-tiny", training_file=chats, method=METHOD),
        client.fine_tuning.jobs.create(model="afina-tiny", training_file=files[0]),
    ]
    words = ["is in chat format, expected preference", "is in preference format, expected chat"]
    for made, said in zip(wrong, words, strict=True):
        job = ended(client, made.id)
        assert (job.status, job.error.code) == ("failed", "invalid_training_file")
        assert said in job.error.message


@pytest.mark.parametrize("beta", [0, -1, 2.5, "much", None])
def test_beta_has_its_range(client: OpenAI, files: tuple[str, str], beta: object) -> None:
    with pytest.raises(openai.BadRequestError) as refused:
        client.fine_tuning.jobs.create(
            model="afina-tiny",
            training_file=files[0],
            method={"type": "dpo", "dpo": {"hyperparameters": {"beta": beta}}},
        )
    assert refused.value.param == "method.dpo.hyperparameters.beta"
    assert "Expected a number > 0 and <= 2 or 'auto'" in refused.value.message
