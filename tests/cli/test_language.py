"""What commands say in Spanish: complete, with the same places to fill in, and nothing that nobody says."""

import ast
import re
from pathlib import Path

import pytest

from afina.cli import comparison_words, language

COMMANDS = Path(language.__file__).parent


def literals() -> tuple[set[str], set[str]]:
    """Every text in the commands' files, and those that are said through the catalogue."""
    every, said = set[str](), set[str]()
    for path in COMMANDS.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                every.add(node.value)
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "_":
                said |= {arg.value for arg in node.args if isinstance(arg, ast.Constant)}
    return every, said


def test_everything_said_has_a_spanish_text_and_nothing_else_has():
    every, said = literals()
    spanish = language.catalogue("es")
    assert (said | set(comparison_words.ENGLISH.values())) - set(spanish) == set()
    assert set(spanish) - every - STATUSES == set()


STATUSES = {"queued", "validating_files", "running", "succeeded", "failed", "cancelled", "paused"}


@pytest.mark.parametrize("english", sorted(language.catalogue("es")))
def test_a_spanish_text_fills_in_the_same_places(english: str):
    assert places(language.catalogue("es")[english]) == places(english)


def places(text: str) -> set[str]:
    return set(re.findall(r"\{\w*\}", text))


@pytest.mark.parametrize(
    ("setting", "step"), [("es", "paso"), ("es_ES.UTF-8", "paso"), ("en", "step"), ("", "step")]
)
def test_the_language_follows_the_setting(monkeypatch: pytest.MonkeyPatch, setting: str, step: str):
    monkeypatch.setenv("AFINA_LANG", setting)
    assert language._("step {number}/{total}").startswith(step)


def test_numbers_are_written_as_the_language_does(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("AFINA_LANG", "es")
    assert language.decimal("1,234.50") == "1.234,50"
    monkeypatch.setenv("AFINA_LANG", "en")
    assert language.decimal("1,234.50") == "1,234.50"
