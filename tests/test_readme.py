"""What the pages tell people to run: the Python runs, the commands, their options and the targets exist."""

import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

from afina.cli.app import app
from afina_server import KEY, served

ROOT = Path(__file__).parents[1]
PAGES = [
    ROOT / "README.md",
    *sorted((ROOT / "examples").rglob("*.md")),
    *sorted((ROOT / "docs").glob("*.md")),
]
CODE = re.compile(r"```\w*\n(.*?)```|`([^`\n]+)`", re.DOTALL)
COMMAND = re.compile(r"^(?:\$ |\.venv/bin/)?afina ([a-z][a-z-]*.*)")
ROW = '{"messages": [{"role": "user", "content": "Hi %d"}, {"role": "assistant", "content": "Hello."}]}\n'


def code_of(page: Path) -> Iterator[str]:
    """The lines of code blocks, and code within sentences."""
    for block, inline in CODE.findall(page.read_text("utf-8")):
        yield from (block or inline).splitlines()


def commands() -> Iterator[tuple[str, str]]:
    """Every `afina ...` that a page shows, without the shell's comments."""
    for page in PAGES:
        for line in code_of(page):
            if (found := COMMAND.search(line.partition(" #")[0])) and "|" not in line:
                yield page.relative_to(ROOT).as_posix(), found[1]


@pytest.mark.parametrize(("page", "command"), sorted(set(commands())))
def test_a_command_that_a_page_shows_exists(page: str, command: str):
    words = shlex.split(command)
    path = [word for word in words[:2] if re.fullmatch(r"[a-z-]+", word)]
    shown = next(
        (ran for end in (2, 1) if (ran := CliRunner().invoke(app, [*path[:end], "--help"])).exit_code == 0),
        None,
    )
    assert shown is not None, f"{page}: afina {command}"
    for option in (word.partition("=")[0] for word in words if word.startswith("--")):
        assert option in shown.output, f"{page}: afina {command}"


def test_a_target_that_a_page_shows_exists():
    targets = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE)
    shown = {
        found for page in PAGES for line in code_of(page) for found in re.findall(r"^make ([a-z-]+)", line)
    }
    assert shown and shown <= set(targets)


def test_the_python_of_the_readme_runs(tmp_path: Path):
    [snippet] = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text("utf-8"), re.DOTALL)
    (tmp_path / "rows.jsonl").write_text("".join(ROW % number for number in range(10)))
    with served(tmp_path) as server:
        here = snippet.replace("http://127.0.0.1:8400", server.url).replace("sk-afina-...", KEY)
        assert here.count(KEY) == 1 and server.url in here
        command = [sys.executable, "-c", here]
        ran = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=240)
    assert (ran.returncode, ran.stderr) == (0, "")
    assert ran.stdout.strip()
