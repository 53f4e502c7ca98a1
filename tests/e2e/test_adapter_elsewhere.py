"""A published model is a plain PEFT folder: plain transformers and PEFT compute the same with it."""

import json
from collections.abc import Iterator

import pytest
import torch
from openai import OpenAI
from peft import PeftModel
from transformers import AutoModelForCausalLM

import afina.base
from afina.data.render import Renderer
from afina.engine.engine import Engine
from afina.engine.types import Sequence
from afina_server import Server, answer, ended, jsonl, rows, upload

TOLERANCE = 1e-4
QUESTION = {"role": "user", "content": "Who is number 3?"}


SHAPE = {"rank": 6, "alpha": 24.0, "rslora": True, "targets": ["down_proj", "q_proj"]}


@pytest.fixture(scope="module", params=[{}, {"afina": {"adapter": SHAPE}}], ids=["usual", "of one's own"])
def model(server: Server, request: pytest.FixtureRequest) -> Iterator[str]:
    """A tuned model with an adapter of the usual shape, or of another."""
    with server.client() as client:
        started = client.fine_tuning.jobs.create(
            model="afina-tiny",
            training_file=upload(client, jsonl(rows(12))).id,
            seed=5,
            hyperparameters={"n_epochs": 3, "batch_size": 4},
            extra_body=request.param,
        )
        job = ended(client, started.id)
        assert job.fine_tuned_model is not None
        config = json.loads((server.model_folder(job.fine_tuned_model) / "adapter_config.json").read_bytes())
        shape = request.param and {
            "rank": config["r"],
            "alpha": config["lora_alpha"],
            "rslora": config["use_rslora"],
            "targets": config["target_modules"],
        }
        assert shape == (request.param and SHAPE)
        yield job.fine_tuned_model


@pytest.fixture(scope="module")
def elsewhere(server: Server, model: str) -> PeftModel:
    base = AutoModelForCausalLM.from_pretrained(afina.base.path(), dtype=torch.float32)
    return PeftModel.from_pretrained(base, server.model_folder(model)).eval()


def test_peft_writes_the_same_answer(client: OpenAI, model: str, elsewhere: PeftModel) -> None:
    renderer = Renderer(afina.base.path())
    prompt = renderer.prompt([QUESTION])
    with torch.inference_mode():
        out = elsewhere.generate(
            input_ids=torch.tensor([prompt]),
            attention_mask=torch.ones(1, len(prompt)),
            max_new_tokens=16,
            do_sample=False,
            eos_token_id=list(renderer.stop_ids),
            pad_token_id=0,
        )
    made = [id for id in out[0, len(prompt) :].tolist() if id not in renderer.stop_ids]
    assert renderer.decode(made) == answer(client, model)


async def test_peft_computes_the_same_log_probabilities(
    server: Server, model: str, elsewhere: PeftModel
) -> None:
    ids = Renderer(afina.base.path()).prompt([QUESTION])
    engine = await Engine.open(afina.base.path(), threads=1)
    try:
        await engine.create_adapter("published", None, start=server.model_folder(model))
        sequence = Sequence(tuple(ids), (1.0,) * len(ids))
        (ours,) = await engine.logprobs("published", [sequence])
        (bare,) = await engine.logprobs(None, [sequence])
    finally:
        await engine.close()
    with torch.inference_mode():
        scores = elsewhere(input_ids=torch.tensor([ids])).logits[0].log_softmax(-1)
    theirs = scores[range(len(ids) - 1), ids[1:]]
    assert (torch.tensor(ours.values) - theirs).abs().max() < TOLERANCE
    assert (torch.tensor(bare.values) - theirs).abs().max() > TOLERANCE
