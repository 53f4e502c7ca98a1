"""OpenAI's own Node client plays the whole story against a real server."""

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from afina_server import KEY, served
from conformance.suite import HERE, ROOT

FOLDER = ROOT / "build" / "node"  # what npm installs stays there for the next time
FILES = ("package.json", "package-lock.json", "story.mjs")


@pytest.fixture
def story() -> Path:
    """The script beside the pinned client."""
    if shutil.which("npm") is None or shutil.which("node") is None:
        pytest.skip("needs node and npm")
    FOLDER.mkdir(parents=True, exist_ok=True)
    for name in FILES:
        shutil.copy(HERE / "node" / name, FOLDER / name)
    if installed() != json.loads((FOLDER / "package.json").read_text())["dependencies"]["openai"]:
        npm = ["npm", "ci", "--no-audit", "--no-fund", "--omit=optional"]
        done = subprocess.run(npm, cwd=FOLDER, capture_output=True, text=True, check=False)
        if done.returncode:
            pytest.skip(f"npm cannot install the client: {done.stderr.strip().splitlines()[-1:]}")
    return FOLDER / "story.mjs"


def installed() -> str | None:
    """The version that is there already."""
    package = FOLDER / "node_modules" / "openai" / "package.json"
    return json.loads(package.read_text())["version"] if package.is_file() else None


@pytest.mark.slow
def test_the_node_client_plays_the_whole_story(story: Path, tmp_path: Path) -> None:
    with served(tmp_path) as server:
        done = subprocess.run(
            ["node", story],
            env=os.environ | {"OPENAI_BASE_URL": f"{server.url}/v1", "OPENAI_API_KEY": KEY},
            capture_output=True,
            text=True,
            timeout=280,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        assert json.loads(done.stdout)["model"].startswith("ft:afina-tiny:")


def test_the_lock_names_no_registry() -> None:
    assert "resolved" not in (HERE / "node" / "package-lock.json").read_text()
