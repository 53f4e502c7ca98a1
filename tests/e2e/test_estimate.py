"""What was said before a job is what came of it."""

import json
import subprocess
from typing import Any

import pytest
from openai import OpenAI

from afina_server import AFINA, KEY, Server, ended, jsonl, rows, upload


@pytest.fixture
def training_file(client: OpenAI) -> str:
    return upload(client, jsonl(rows(40, first=400)), "estimated.jsonl").id


def estimated(client: OpenAI, **body: object) -> dict[str, Any]:
    found = client.post("/afina/estimates", body=body, cast_to=object)
    assert isinstance(found, dict)
    return found


def test_tokens_steps_and_time_come_true(server: Server, client: OpenAI, training_file: str) -> None:
    body = {
        "model": "gpt-4o-mini-2024-07-18",
        "training_file": training_file,
        "validation_file": training_file,
    }
    before = estimated(client, **body)
    job = ended(client, client.fine_tuning.jobs.create(**body).id)  # every number "auto"
    assert job.status == "succeeded" and job.model_extra
    assert job.trained_tokens == before["trained_tokens"] == 3 * before["tokens_per_epoch"]
    assert job.hyperparameters.n_epochs == before["n_epochs"]
    assert job.hyperparameters.batch_size == before["batch_size"]
    assert job.model_extra["afina"]["total_steps"] == before["steps"]
    after = estimated(client, **body)
    assert {**after, "seconds": None, "finished_jobs": 0} == {**before, "seconds": None, "finished_jobs": 0}
    least, most = after["seconds"]
    assert after["finished_jobs"] == before["finished_jobs"] + 1
    assert job.finished_at and 1 <= least <= max(1, job.finished_at - job.created_at) and least < most


def test_the_command_says_it_in_words(server: Server, training_file: str) -> None:
    environment = {**server.environment, "OPENAI_BASE_URL": f"{server.url}/v1", "OPENAI_API_KEY": KEY}
    words = [AFINA, "estimate", training_file, "--model", "gpt-4o-mini", "--epochs", "2"]
    ran = subprocess.run(words, capture_output=True, text=True, env=environment, check=True)
    assert "40 examples" in ran.stdout
    words.append("--json")
    found = json.loads(
        subprocess.run(words, capture_output=True, text=True, env=environment, check=True).stdout
    )
    assert f"{found['trained_tokens']:,} tokens in all" in ran.stdout
    assert f"about ${found['openai_usd']:,.2f}" in ran.stdout
