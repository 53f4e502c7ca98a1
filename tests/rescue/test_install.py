"""The tool alone: in an environment of its own, and against a server that is not OpenAI."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import afina_server
from rescue.openai_stand_in import PROGRAM, OpenAI, Tool

FILES = ("afina_rescue.py", "pyproject.toml", "README.md")


def test_it_installs_and_runs_beside_openai_alone(openai: OpenAI, tmp_path: Path) -> None:
    """Built from its folder into an empty one; `openai` is borrowed from where these tests run."""
    source, here = tmp_path / "source", tmp_path / "installed"
    source.mkdir()
    for name in FILES:
        shutil.copy(PROGRAM.parent / name, source)
    command = [sys.executable, "-m", "pip", "install", "--no-deps", "--target", str(here), str(source)]
    built = subprocess.run(command, capture_output=True, text=True, check=False)
    if "No matching distribution found for flit_core" in built.stdout + built.stderr:
        pytest.skip("no package index within reach has the build backend")
    assert built.returncode == 0, built.stderr
    assert {path.name for path in here.glob("*.py")} == {"afina_rescue.py"}
    tool = Tool(openai, tmp_path / "rescued")
    environment = {**tool.environment, "PYTHONPATH": str(here)}
    command = [
        str(here / "bin" / "afina-rescue"),
        "save",
        "--base-url",
        openai.url,
        "--folder",
        str(tool.folder),
    ]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert (done.returncode, tool.gaps()) == (0, {}), done.stderr


def test_it_saves_from_afina(openai: OpenAI, tmp_path: Path) -> None:
    (tmp_path / "afina").mkdir()
    with afina_server.served(tmp_path / "afina") as server:
        client = server.client()
        file = afina_server.upload(client, afina_server.jsonl(afina_server.rows(12)))
        tool = Tool(openai, tmp_path / "rescued")
        tool.environment["OPENAI_API_KEY"] = afina_server.KEY
        done = tool.run("save", "--base-url", f"{server.url}/v1")
        assert tool.run("inventory", "--base-url", f"{server.url}/v1").code == 0
    assert done.code == 0, done.output
    assert tool.gaps() == {}
    assert (tool.folder / "files" / file.id / "content").stat().st_size == file.bytes
