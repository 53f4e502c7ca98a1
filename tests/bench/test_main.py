"""The command line, and the process behind it."""

import json
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import bench.__main__ as command
import pytest
from bench.options import options
from bench.words import chats, conversations

from bench import record


@pytest.mark.parametrize("name", command.NAMES)
def test_each_name_is_a_bench(name: str) -> None:
    assert callable(import_module(f"bench.{name}").measure)


def test_the_process_that_measures_loads_no_torch() -> None:
    """In a fresh interpreter: its memory and threads would be on both sides of every comparison."""
    names = ", ".join(f"bench.{name}" for name in command.NAMES)
    code = f"import sys, {names}; print(sorted({{'torch', 'transformers', 'trl', 'datasets'}} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_a_figure_says_where_it_comes_from(tmp_path: Path) -> None:
    given = options(shape="tiny", quick=True, sweep=False, folder=tmp_path)
    record.write(tmp_path / "out" / "figures.json", {"bench": "sft", "versions": record.versions(given)})
    written = json.loads((tmp_path / "out" / "figures.json").read_bytes())["versions"]
    assert written["packages"]["trl"] == "1.16.0"
    assert written["machine"]["cores"] == written["threads"] > 0
    assert {"date", "revision", "python", "environment", "shape", "quick"} <= written.keys()


def test_quick_is_five_pairs_of_three_steps_in_a_quarter_of_an_hour(tmp_path: Path) -> None:
    given = options(shape="135m", quick=True, sweep=False, folder=tmp_path)
    assert (given.pairs, given.steps, given.seconds) == (5, 3, 900)
    assert given.deadline(0.5) == given.begun + 450


@pytest.mark.parametrize("broken", [["nothing"], ["sft", "--shape", "8b"], []])
def test_what_is_not_there_is_refused(broken: list[str]) -> None:
    with pytest.raises(SystemExit):
        command.parse(broken)


def test_chats_are_the_same_for_the_same_seed() -> None:
    assert list(chats(3, seed=1)) == list(chats(3, seed=1)) != list(chats(3, seed=2))
    roles = [message["role"] for message in json.loads(next(conversations(seed=1)))["messages"]]
    assert roles[:3] == ["system", "user", "assistant"] and len(roles) % 2 == 1
