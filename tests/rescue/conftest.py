"""A small account behind a real port, and the tool before it."""

from collections.abc import Generator
from pathlib import Path

import pytest

from rescue.openai_stand_in import OpenAI, Tool, serving, small


@pytest.fixture
def openai() -> Generator[OpenAI]:
    """A small account, served without faults."""
    with serving(small()) as server:
        yield server


@pytest.fixture
def tool(openai: OpenAI, tmp_path: Path) -> Tool:
    return Tool(openai, tmp_path / "rescued")
