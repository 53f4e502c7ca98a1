"""Folders of a tiny model, whole, for tests to damage."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

import tiny_base

Change = Callable[..., None]


@pytest.fixture(scope="session")
def llama(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_base.make(tmp_path_factory.mktemp("llama"))


@pytest.fixture(scope="session")
def qwen3(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_base.make_qwen3(tmp_path_factory.mktemp("qwen3"))


@pytest.fixture
def folder(llama: Path, tmp_path: Path) -> Path:
    """A copy of one's own."""
    return Path(shutil.copytree(llama, tmp_path / "model"))


@pytest.fixture
def configure(folder: Path) -> Change:
    """Change keys of its config.json; None takes one away."""

    def change(**keys: object) -> None:
        path = folder / "config.json"
        config = json.loads(path.read_text()) | keys
        path.write_text(json.dumps({key: value for key, value in config.items() if value is not None}))

    return change
