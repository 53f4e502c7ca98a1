"""Bases that are added while the server runs: a Llama, and a Qwen3 that could think aloud, tuned and asked by alias."""

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from openai import OpenAI

import tiny_base
from afina_server import AFINA, Server, answer, ended, jsonl, rows, upload

MAKE: dict[str, Callable[[Path], Path]] = {"llama": tiny_base.make, "qwen3": tiny_base.make_qwen3}


@pytest.mark.parametrize("family", MAKE)
def test_it_is_tuned_and_answers_by_its_alias(
    server: Server, client: OpenAI, tmp_path: Path, family: str
) -> None:
    folder = MAKE[family](tmp_path / "model")
    name, alias = f"own-{family}", f"assistant-{family}"
    words = ["models-add", name, "--source", str(folder), "--copy", "--alias", alias, "--json"]
    done = subprocess.run(
        [AFINA, *words, "--data", str(server.data)], capture_output=True, text=True, check=True
    )
    assert json.loads(done.stdout)["thinking"] == ("off" if family == "qwen3" else None)
    assert alias not in [model.id for model in client.models.list()]
    before = answer(client, alias)
    job = ended(client, create(client, alias).id)
    assert (job.status, job.model) == ("succeeded", name)
    assert job.fine_tuned_model is not None and job.fine_tuned_model.startswith(f"ft:{name}:")
    assert answer(client, job.fine_tuned_model) != before
    assert not [e for e in client.fine_tuning.jobs.list_events(job.id) if e.level == "warn"]


def create(client: OpenAI, model: str):
    return client.fine_tuning.jobs.create(
        model=model,
        training_file=upload(client, jsonl(rows(12))).id,
        seed=5,
        hyperparameters={"n_epochs": 2, "batch_size": 4, "learning_rate_multiplier": 4},
    )


def test_thinking_off_is_rendered_in_prompts(server: Server, client: OpenAI, tmp_path: Path) -> None:
    """Two names for the same files differ by what the switch adds to the prompt."""
    folder = tiny_base.make_qwen3(tmp_path / "model")
    counts = {}
    for mode in ("off", "on"):
        words = ["models-add", f"think-{mode}", "--source", str(folder), "--copy", "--thinking", mode]
        subprocess.run([AFINA, *words, "--data", str(server.data)], capture_output=True, check=True)
        reply = client.chat.completions.create(
            model=f"think-{mode}", messages=[{"role": "user", "content": "Hi"}], max_tokens=1
        )
        assert reply.usage is not None
        counts[mode] = reply.usage.prompt_tokens
    assert counts["off"] > counts["on"]
