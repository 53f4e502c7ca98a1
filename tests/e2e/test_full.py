"""All weights tuned: a base of its own that answers, is gone on from, is read by plain transformers, and is deleted."""

from collections.abc import Iterator

import openai
import pytest
import torch
from openai import OpenAI
from openai.types.fine_tuning import FineTuningJob
from transformers import AutoModelForCausalLM, AutoTokenizer

from afina_server import Server, answer, command_of, ended, events, jsonl, kill, rows, until, upload

FULL = {"afina": {"adapter": {"type": "full"}}}
SMALL = {"afina": {"adapter": {"rank": 4}}}
QUESTION = [{"role": "user", "content": "Who is number 3?"}]


def tune(client: OpenAI, model: str, extra: dict, **numbers: int) -> FineTuningJob:
    """The same job each time, but for what it begins from and what it trains."""
    return client.fine_tuning.jobs.create(
        model=model,
        training_file=upload(client, jsonl(rows(16))).id,
        seed=5,
        hyperparameters={"n_epochs": 4, "batch_size": 1, "learning_rate_multiplier": 4, **numbers},
        extra_body=extra,
    )


def done(client: OpenAI, job: str) -> FineTuningJob:
    found = ended(client, job)
    assert found.status == "succeeded", found.error
    return found


def tuned(client: OpenAI, model: str, extra: dict) -> str:
    name = done(client, tune(client, model, extra, n_epochs=1).id).fine_tuned_model
    assert name is not None
    return name


def own_hosts(server: Server, name: str) -> list[int]:
    """Processes of the host that a run has alone, or that has begun with a model."""
    return [pid for pid in server.pids("afina.host") if f"--base {name} " in command_of(pid)]


@pytest.fixture(scope="module")
def job(server: Server) -> Iterator[FineTuningJob]:
    with server.client() as client:
        before = answer(client, "afina-tiny")
        yield done(client, tune(client, "afina-tiny", FULL).id)
        assert answer(client, "afina-tiny") == before


@pytest.fixture(scope="module")
def model(job: FineTuningJob) -> str:
    assert job.fine_tuned_model is not None
    return job.fine_tuned_model


def test_it_learns_at_a_tenth_of_the_rate_on_a_host_that_ends_with_it(
    server: Server, client: OpenAI, job: FineTuningJob
) -> None:
    said = job.to_dict()["afina"]
    assert said["adapter"] == {"type": "full"}
    assert said["learning_rate"] == pytest.approx(4 * 5e-5 * (2000 / 256) ** 0.781)
    losses = [event.data["train_loss"] for event in events(client, job.id) if event.type == "metrics"]
    assert len(losses) == 64 and sum(losses[-16:]) < sum(losses[:16]) / 4
    assert own_hosts(server, job.id) == []


def test_its_memory_is_told_before(client: OpenAI) -> None:
    body = {"model": "afina-tiny", "training_file": upload(client, jsonl(rows(12))).id}
    found = [
        client.post("/afina/estimates", body={**body, **extra}, cast_to=object)["memory_bytes"]
        for extra in (FULL, SMALL)
    ]
    assert found[0] - found[1] > 6_000_000 * 12


def test_plain_transformers_reads_it_and_says_the_same(server: Server, client: OpenAI, model: str) -> None:
    folder = server.model_folder(model)
    names = {"config.json", "model.safetensors", "tokenizer.json", "chat_template.jinja", "manifest.json"}
    assert names <= {path.name for path in folder.iterdir()}
    assert not list(folder.glob("optimizer*"))
    tokenizer = AutoTokenizer.from_pretrained(folder)
    prompt = tokenizer.apply_chat_template(
        QUESTION, add_generation_prompt=True, return_tensors="pt", return_dict=True
    )
    network = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    with torch.inference_mode():
        out = network.generate(**prompt, max_new_tokens=16, do_sample=False)
    said = tokenizer.decode(out[0, prompt["input_ids"].size(1) :], skip_special_tokens=True)
    assert said == answer(client, model) != answer(client, "afina-tiny")


def test_its_checkpoints_answer(client: OpenAI, job: FineTuningJob, model: str) -> None:
    names = [p.fine_tuned_model_checkpoint for p in client.fine_tuning.jobs.checkpoints.list(job.id)]
    assert names[0] == model and names[1].endswith(":ckpt-step-48")
    assert answer(client, names[1])


@pytest.mark.slow
def test_a_run_whose_host_is_killed_goes_on_to_the_same_weights(
    server: Server, client: OpenAI, model: str
) -> None:
    again = tune(client, "afina-tiny", FULL)
    until(lambda: server.step(again.id), lambda step: step >= 5, what="five steps are taken")
    for pid in own_hosts(server, again.id):
        kill(pid)
    name = done(client, again.id).fine_tuned_model
    assert name is not None and any("interrupted" in event.message for event in events(client, again.id))
    weights = [(server.model_folder(of) / "model.safetensors").read_bytes() for of in (model, name)]
    assert weights[0] == weights[1]


@pytest.mark.slow
def test_it_is_gone_on_from_in_both_ways_and_deleted_behind_them(
    server: Server, client: OpenAI, model: str
) -> None:
    whole = tuned(client, model, FULL)
    beside = tuned(client, whole, SMALL)
    further = done(client, tune(client, beside, {}, n_epochs=1).id)
    assert further.model == whole and further.fine_tuned_model is not None
    for name in (whole, beside, further.fine_tuned_model):
        assert name.startswith("ft:afina-tiny:") and answer(client, name)
    with pytest.raises(openai.BadRequestError, match=f"{beside} is an adapter") as error:
        tune(client, beside, FULL)
    assert error.value.param == "afina.adapter.type"
    with pytest.raises(openai.BadRequestError, match="the base of 2 tuned models") as error:
        client.models.delete(whole)
    assert error.value.code == "model_in_use"
    for name in (beside, further.fine_tuned_model, whole):
        assert client.models.delete(name).deleted
    with pytest.raises(openai.NotFoundError):
        answer(client, whole)
    until(lambda: own_hosts(server, whole), lambda found: not found, what="its host has ended")
