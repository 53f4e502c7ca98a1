"""The demo as people run it, on fewer rows: every step shown, in the language asked for, nothing left running."""

import fcntl
import os
import re
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest

DEMO = Path(__file__).parents[2] / "examples" / "demo.py"
SAID = {
    "en": (
        "no job will fail for this file",
        "tokens in all",
        "done:",
        "4 questions in Spanish",
        "tuned against prompted base:",
        "of 12 new greetings",
        "go on from here",
        "afina models-add",
    ),
    "es": (
        "ningún trabajo fallará por este archivo",
        "tokens en total",
        "hecho:",
        "4 preguntas en inglés",
        "afinado frente a base instruida:",
        "de 12 saludos",
        "siga desde aquí",
        "afina models-add",
    ),
}
FIGURES = {
    "en": (
        "loss, nats per token",
        "token accuracy",
        "ROUGE-L to the reference",
        "all parts stated",
        "question's terms taken up",
    ),
    "es": (
        "pérdida, nats por token",
        "aciertos por token",
        "ROUGE-L con la referencia",
        "todas las partes",
        "términos de la pregunta",
    ),
}

ELSEWHERE = {  # what a person may have set for another server, and an address that nobody can listen on
    "OPENAI_BASE_URL": "http://127.0.0.1:9/v1",
    "OPENAI_API_KEY": "sk-of-an-account",
    "HTTP_PROXY": "http://127.0.0.1:9",
    "AFINA_HOST": "192.0.2.1",
    "AFINA_DATABASE_URL": "postgresql://127.0.0.1:9/rows",
}


@pytest.mark.parametrize("language", ["en", pytest.param("es", marks=pytest.mark.slow)])
def test_the_demo_shows_every_step_and_ends(language: str, tmp_path: Path):
    environment = {**os.environ, **ELSEWHERE, "AFINA_LANG": language, "COLUMNS": "200"}
    command = [sys.executable, str(DEMO), "--rows", "20"]
    ran = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=300)
    assert ran.returncode == 0, ran.stdout[-3000:] + ran.stderr[-2000:]
    for text in SAID[language]:
        assert text in ran.stdout
    other = {"en": "conversaciones reservadas", "es": "held-out conversations"}[language]
    assert other not in ran.stdout
    for figure in FIGURES[language]:
        rows = [line for line in ran.stdout.splitlines() if line.startswith(figure)]
        assert [len(re.findall(r"[\d.,]+ \[[\d.,]+ [\d.,]+\]", row)) for row in rows] == [3, 3]
    loss = next(line for line in ran.stdout.splitlines() if line.startswith(FIGURES[language][0]))
    base, _, tuned = (float(figure.replace(",", ".")) for figure in re.findall(r"([\d.,]+) \[", loss))
    assert tuned < base
    assert at_work_in(tmp_path) == []


def refused_in(folder: Path) -> str:
    """What a demo says that does not begin."""
    ran = subprocess.run(
        [sys.executable, str(DEMO)], cwd=folder, env={**os.environ, "AFINA_LANG": "en"}, capture_output=True
    )
    assert (ran.returncode, ran.stdout) == (1, b"")
    return ran.stderr.decode()


def test_a_folder_that_no_demo_has_made_stays_as_it_is(tmp_path: Path):
    notes = tmp_path / "afina-demo" / "notes.txt"
    notes.parent.mkdir()
    notes.write_text("mine")
    assert "was not made by a demo" in refused_in(tmp_path)
    assert notes.read_text() == "mine"


@pytest.mark.parametrize("held", [".", "data/serve.lock"])
def test_a_folder_in_use_stays_as_it_is(held: str, tmp_path: Path):
    folder = tmp_path / "afina-demo"
    (folder / "data").mkdir(parents=True)
    for name in ("serve.log", "data/serve.lock"):
        (folder / name).touch()
    holder = os.open(folder / held, os.O_RDONLY)
    try:
        fcntl.flock(holder, fcntl.LOCK_EX)
        assert "is in use" in refused_in(tmp_path)
    finally:
        os.close(holder)
    assert (folder / "serve.log").exists()


def at_work_in(folder: Path) -> list[str]:
    """The processes whose working directory is a folder."""
    found: list[str] = []
    for link in Path("/proc").glob("[0-9]*/cwd"):
        with suppress(OSError):  # it has ended, or is somebody else's
            if link.readlink() == folder:
                found.append((link.parent / "cmdline").read_text())
    return found
