"""Base, prompted base and tuned model on held-out rows, by the command that people use, against a real server."""

import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from openai import OpenAI

from afina_server import AFINA, KEY, Server, ended, jsonl, rows, tune, upload

Compare = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A training file, and a held-out file of which one row is in it too."""
    folder = tmp_path_factory.mktemp("compared")
    train, held_out = folder / "train.jsonl", folder / "held_out.jsonl"
    train.write_bytes(jsonl(rows(26)))
    held_out.write_bytes(jsonl(rows(11, first=25)))
    return train, held_out


@pytest.fixture(scope="module")
def tuned(server: Server, files: tuple[Path, Path]) -> str:
    client = server.client()
    job = ended(client, tune(client, upload(client, files[0].read_bytes()).id, n_epochs=6, batch_size=4).id)
    assert job.fine_tuned_model is not None
    return job.fine_tuned_model


@pytest.fixture(scope="module")
def compare(server: Server, files: tuple[Path, Path], tuned: str) -> Compare:
    def run(*words: str, language: str = "en") -> "subprocess.CompletedProcess[str]":
        ours = {"OPENAI_BASE_URL": f"{server.url}/v1", "OPENAI_API_KEY": KEY, "AFINA_LANG": language}
        command = [AFINA, "compare", str(files[1]), "--base", "afina-tiny", "--tuned", tuned]
        return subprocess.run(
            [*command, "--max-tokens", "12", *words],
            env={**os.environ, **ours},
            capture_output=True,
            text=True,
            check=True,
        )

    return run


def test_the_document_holds_every_figure(
    compare: Compare, client: OpenAI, files: tuple[Path, Path], tuned: str
):
    told = ("--system", "You know who is number what.", "--heading", "is number")
    said = json.loads(compare("--train", str(files[0]), *told, "--json").stdout)
    assert (said["held_out"], said["held_out_in_training"]) == (11, 1)
    assert [(arm["name"], arm["model"]) for arm in said["arms"]] == [
        ("base", "afina-tiny"),
        ("prompted", "afina-tiny"),
        ("tuned", tuned),
    ]
    figures = {row.pop("metric"): row for row in said["metrics"]}
    assert list(figures) == [
        "loss",
        "token_accuracy",
        "rouge_l",
        "all_parts",
        "term_overlap",
        "coverage",
        "cohesion",
    ]
    for row in figures.values():
        assert all(one["low"] <= one["value"] <= one["high"] for one in row.values())
    assert figures["loss"]["tuned"]["value"] < figures["loss"]["base"]["value"]
    verdicts = {(one["against"], one["metric"]): one["outcome"] for one in said["verdicts"]}
    assert len(verdicts) == 14 and verdicts["base", "loss"] == "better"
    assert said["prompting_is_enough"] == all(
        outcome != "better" for (against, _), outcome in verdicts.items() if against == "prompted"
    )
    for one in said["verdicts"]:
        duels = one["duels"]
        assert duels["wins"] + duels["ties"] + duels["losses"] == 11
        assert one["win_rate"] == (duels["wins"] + duels["ties"] / 2) / 11
    losses = said["prompt"]["losses"]
    assert set(losses) == {"0", "3", "8"} and said["prompt"]["system"]
    assert losses[str(said["prompt"]["examples"])] == min(losses.values())
    base, prompted, _ = (arm["prompt_tokens"] for arm in said["arms"])
    assert prompted > base


def test_the_table_speaks_english_and_spanish(compare: Compare, files: tuple[Path, Path]):
    english = compare("--train", str(files[0])).stdout
    assert "token accuracy" in english and "tuned against base: better in loss" in english
    assert "1 of the 11 held-out conversations are in the training file too" in english
    spanish = compare("--train", str(files[0]), language="es_ES.UTF-8").stdout
    assert "aciertos por token" in spanish and "afinado frente a base: mejor en pérdida" in spanish
    assert "1 de las 11 conversaciones reservadas" in spanish
    assert english.split("[")[0].split()[-1].replace(".", ",") in spanish


def test_without_a_training_file_that_of_the_tuned_models_job_is_read(compare: Compare):
    said = json.loads(compare("--judge", "afina-tiny", "--json").stdout)
    assert said["held_out_in_training"] == 1 and set(said["prompt"]["losses"]) == {"0", "3", "8"}
    assert [arm["name"] for arm in said["arms"]] == ["base", "prompted", "tuned"]
    judged = {row["metric"]: row for row in said["metrics"] if row["metric"].startswith("judged")}
    for row in judged.values():  # a model of this size does not always come to a number
        assert all(1 <= row[arm]["value"] <= 5 for arm in ("base", "prompted", "tuned"))
