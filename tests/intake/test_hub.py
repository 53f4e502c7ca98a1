"""The hub's real client against a small hub of ours; the command is a process, as its endpoint is fixed at import."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

AFINA = str(Path(sys.executable).with_name("afina"))
COMMIT = "0123456789abcdef0123456789abcdef01234567"


@pytest.fixture
def add(hub, tmp_path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """`afina models-add tiny`, with the small hub as the hub."""

    def run(*words: str, **environment: str) -> subprocess.CompletedProcess[str]:
        source = () if "--source" in words else ("--source", "lab/tiny")
        command = [AFINA, "models-add", "tiny", *source, "--data", str(tmp_path / "data"), *words]
        ours = {
            "HF_ENDPOINT": hub.url,
            "HF_HOME": str(tmp_path / "hf"),
            "NO_PROXY": "127.0.0.1",
            "COLUMNS": "200",
        }
        kept = {k: v for k, v in os.environ.items() if not k.startswith("HF_") and "proxy" not in k.lower()}
        return subprocess.run(
            command, capture_output=True, text=True, env={**kept, **ours, **environment}, check=False
        )

    return run


def refused(ran: subprocess.CompletedProcess[str]) -> str:
    assert ran.returncode == 1, ran.stdout
    assert ran.stderr.splitlines()[-1].startswith("error: ")
    assert "Traceback" not in ran.stderr
    return ran.stderr


def test_a_model_arrives_in_the_data_directory(add, hub, folder, tmp_path):
    (folder / "README.md").write_text("---\nlicense: mit\n---\n")
    for name in ("optimizer.pt", "pytorch_model.bin", "consolidated.safetensors", "original/params.json"):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_bytes(b"{}")
    ran = add("--json", "--alias", "gpt-4o-mini")
    assert ran.returncode == 0, ran.stderr
    said = json.loads(ran.stdout)
    home = tmp_path / "data" / "models" / "tiny"
    assert (said["folder"], said["licence"], said["aliases"]) == (str(home), "mit", {"gpt-4o-mini": None})
    there = {path.name for path in home.iterdir()}
    assert {"config.json", "model.safetensors", "chat_template.jinja"} <= there
    assert not there & {"optimizer.pt", "pytorch_model.bin", "consolidated.safetensors", "original", ".cache"}
    assert hub.fetched[0] == "config.json"
    assert not list((tmp_path / "data" / "models").glob("*.partial"))


def test_an_unfit_configuration_ends_it_before_weights_are_fetched(add, hub, configure):
    configure(model_type="llava")
    assert "models of type llava are not supported" in refused(add())
    assert hub.fetched == ["config.json"]


def test_pickles_alone_are_refused_before_anything_is_fetched(add, hub, folder):
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    assert "pytorch_model.bin: weights are read from safetensors files only" in refused(add())
    assert hub.fetched == []


def test_no_weights_at_all(add, folder):
    (folder / "model.safetensors").unlink()
    assert "lab/tiny has no such file" in refused(add())


def test_a_gated_model(add, hub):
    hub.gated = True
    said = refused(add())
    assert "lab/tiny is gated: its owner wants your agreement" in said
    assert "set HF_TOKEN" in said


def test_names_that_are_not_there(add):
    assert "there is no lab/other, or it is private" in refused(add("--source", "lab/other"))
    assert "lab/tiny has no revision v9" in refused(add("--revision", "v9"))


def test_a_hub_that_cannot_be_reached(add):
    assert "it cannot be reached for lab/tiny" in refused(add(HF_ENDPOINT="http://127.0.0.1:9"))


def test_more_than_the_disk_holds(add, hub):
    hub.sizes["model.safetensors"] = 2**60
    said = refused(add())
    assert "takes 1073741824.0 GiB of disk" in said
    assert "model.safetensors" not in hub.fetched


def test_a_file_that_arrives_damaged(add, hub, folder):
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-8])
    assert "model.safetensors: it is damaged: it should have" in refused(add())


def test_what_has_arrived_is_kept_for_the_next_time(add, hub, folder, tmp_path):
    template = (folder / "chat_template.jinja").read_text()
    (folder / "chat_template.jinja").write_text("{% for %}")
    assert "cannot be compiled" in refused(add())
    assert (tmp_path / "data" / "models" / "tiny.partial" / "model.safetensors").is_file()
    (folder / "chat_template.jinja").write_text(template)
    assert add().returncode == 0


def test_a_home_that_is_taken_is_left_alone(add, hub, tmp_path):
    (tmp_path / "data" / "models" / "tiny").mkdir(parents=True)
    assert "is there already" in refused(add())
    assert hub.fetched == []


def test_a_connection_that_ends_in_the_middle(add, hub, tmp_path):
    hub.cut.add("tokenizer.json")
    said = refused(add())
    assert "run the command again: what has arrived is kept" in said, said
    assert not (tmp_path / "data" / "models" / "tiny").exists()
    hub.cut.clear()
    assert add().returncode == 0
