"""Preferences of real pairs, polite against rude: does tuning make the model prefer what it was not shown?"""

import hashlib
import json
from pathlib import Path

import httpx
import pytest
from openai import OpenAI

from afina_server import ended, jsonl, upload
from figures import keep, sign_test

PAIRS = Path(__file__).parents[3] / "shared" / "data" / "dev" / "rasbt_preference_dpo.jsonl"
FIFTH = 5
AT_ONCE = 64


def held_out(pair: dict) -> bool:
    """A fifth of the pairs, by their question alone, so that none of it is in both parts."""
    question = json.dumps(pair["input"], sort_keys=True)
    return hashlib.sha256(question.encode()).digest()[0] % FIFTH == 0


def likelihoods(client: OpenAI, model: str, pairs: list[dict], answer: str) -> list[float]:
    """The log-probability of each pair's `answer` as a whole."""
    talks = [{"messages": [*pair["input"]["messages"], *pair[answer]]} for pair in pairs]
    found: list[float] = []
    for first in range(0, len(talks), AT_ONCE):
        body = {"model": model, "inputs": talks[first : first + AT_ONCE]}
        reply = client.post("/afina/scores", body=body, cast_to=httpx.Response).json()
        found += [-score["loss"] * score["tokens"] for score in reply["data"]]
    return found


def margins(client: OpenAI, model: str, pairs: list[dict]) -> list[float]:
    """By how much each preferred answer is likelier than the other one, in nats."""
    preferred, other = (
        likelihoods(client, model, pairs, answer) for answer in ("preferred_output", "non_preferred_output")
    )
    return [a - b for a, b in zip(preferred, other, strict=True)]


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.skipif(not PAIRS.exists(), reason="the pairs are not beside the project")
def test_preferences_of_real_pairs_carry_over_to_new_ones(client: OpenAI) -> None:
    pairs = [json.loads(line) for line in PAIRS.read_text(encoding="utf-8").splitlines()]
    kept = [pair for pair in pairs if held_out(pair)]
    shown = [pair for pair in pairs if not held_out(pair)]
    files = [upload(client, jsonl(part), "pairs.jsonl").id for part in (shown, kept)]
    method = {"type": "dpo", "dpo": {"hyperparameters": {"n_epochs": 3, "batch_size": 4, "beta": 0.1}}}
    job = client.fine_tuning.jobs.create(
        model="afina-tiny", training_file=files[0], validation_file=files[1], method=method, seed=1
    )
    job = ended(client, job.id, seconds=3000)
    assert (job.status, job.error) == ("succeeded", None)
    before = margins(client, "afina-tiny", kept)
    after = margins(client, job.fine_tuned_model, kept)
    won = sum(a <= 0 < b for a, b in zip(before, after, strict=True))
    lost = sum(b <= 0 < a for a, b in zip(before, after, strict=True))
    chance = sign_test(won, lost)
    keep(
        "preferences",
        {
            "pairs": {"shown": len(shown), "held_out": len(kept)},
            "preference_accuracy": {name: share(of) for name, of in (("base", before), ("tuned", after))},
            "newly_right": won,
            "newly_wrong": lost,
            "p_of_paired_sign_test": chance,
            "reward_accuracy": share([b - a for a, b in zip(before, after, strict=True)]),
        },
    )
    assert share(after) > share(before) and chance < 0.01


def share(margins: list[float]) -> float:
    """Of pairs whose margin is above zero."""
    return sum(margin > 0 for margin in margins) / len(margins)
