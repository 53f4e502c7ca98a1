import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from afina import base
from afina.data.render import Renderer
from afina.data.strict_json import JsonValue


@pytest.fixture(scope="session")
def tiny() -> Renderer:
    """The bundled base model's renderer."""
    return Renderer(base.path())


@pytest.fixture
def with_template(tmp_path: Path) -> Callable[..., Renderer]:
    """A renderer of the bundled tokenizer with another template."""

    def build(source: str, options: dict[str, JsonValue] | None = None) -> Renderer:
        shutil.copy(base.path() / "tokenizer.json", tmp_path)
        config = {"eos_token": {"content": "<|im_end|>"}, "bos_token": None, "chat_template": source}
        (tmp_path / "tokenizer_config.json").write_text(json.dumps(config))
        return Renderer(tmp_path, options)

    return build
