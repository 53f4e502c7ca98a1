"""Real processes: a supervisor of small scripts, watched from outside."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

SUPERVISOR = """
import logging, os, sys
from pathlib import Path
from afina.cli.supervisor import Program, Supervisor

folder, *scripts = sys.argv[1:]
logging.basicConfig(level="INFO", format="%(message)s")
programs = [
    Program(f"p{n}", (sys.executable, script, folder), os.environ, name_in="OWN_NAME")
    for n, script in enumerate(scripts)
]
def died(name):
    with open(Path(folder, "died"), "a") as file:
        file.write(name + "\\n")
Supervisor(programs, died=died, ready=lambda: os.environ["READY"] == "yes").run()
"""

TELL = """
import os, signal, subprocess, sys
from pathlib import Path
def tell():
    with open(Path(sys.argv[1], "started"), "a") as file:
        file.write(f"{os.environ['OWN_NAME']} {os.getpid()}\\n")
"""
WAITS = TELL + "tell(); signal.pause()"
IGNORES = TELL + "signal.signal(signal.SIGTERM, signal.SIG_IGN); tell()\nwhile True: signal.pause()"
PARENT = TELL + "subprocess.Popen(['sleep', '600']); tell(); signal.pause()"
DIES = TELL + "tell(); sys.exit(3)"


class Supervised:
    """A supervisor in a process of its own, and everything that came from it."""

    def __init__(self, folder: Path, scripts: tuple[str, ...], ready: str):
        self.folder = folder
        paths = [folder / f"script{number}.py" for number in range(len(scripts))]
        for path, text in zip(paths, scripts, strict=True):
            path.write_text(text)
        self.mark = f"SUPERVISED_BY_TEST={folder.name}-{os.getpid()}"
        self.process = subprocess.Popen(
            [sys.executable, "-c", SUPERVISOR, str(folder), *map(str, paths)],
            env={**os.environ, "READY": ready, **dict([self.mark.split("=")])},
            stderr=(folder / "log").open("w"),
        )

    def lines(self, name: str) -> list[str]:
        path = self.folder / name
        return path.read_text().splitlines() if path.exists() else []

    def running(self) -> list[int]:
        found = [int(p.name) for p in Path("/proc").iterdir() if p.name.isdigit()]
        return [pid for pid in found if self.mark.encode() in environment(pid)]


def environment(pid: int) -> list[bytes]:
    try:
        return Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    except OSError:
        return []


def until(held: Callable[[], object], seconds: float = 20) -> None:
    end = time.monotonic() + seconds
    while not held():
        assert time.monotonic() < end, "the condition did not come true in time"
        time.sleep(0.01)


@pytest.fixture
def supervised(tmp_path):
    started: list[Supervised] = []

    def start(*scripts: str, ready: str = "yes") -> Supervised:
        started.append(Supervised(tmp_path, scripts, ready))
        return started[-1]

    yield start
    for one in started:
        for pid in one.running():
            os.kill(pid, signal.SIGKILL)
        one.process.wait()


def test_a_child_that_dies_is_started_again_under_a_new_name(supervised):
    one = supervised(WAITS)
    until(lambda: len(one.lines("started")) == 1)
    name, pid = one.lines("started")[0].split()
    os.kill(int(pid), signal.SIGKILL)
    until(lambda: len(one.lines("started")) == 2)
    assert one.lines("died") == [name]
    assert one.lines("started")[1].split()[0] != name


def test_what_a_dead_child_started_ends_with_it(supervised):
    one = supervised(PARENT)
    until(lambda: len(one.running()) == 3)
    before = set(one.running())
    os.kill(int(one.lines("started")[0].split()[1]), signal.SIGKILL)
    until(lambda: len(one.lines("started")) == 2 and len(one.running()) == 3)
    assert set(one.running()) & before == {one.process.pid}


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_signal_ends_all(supervised, number):
    one = supervised(WAITS, WAITS, PARENT)
    until(lambda: len(one.lines("started")) == 3)
    one.process.send_signal(number)
    assert one.process.wait(20) == 0
    assert one.running() == []
    assert one.lines("died") == []


def test_ctrl_c_kills_what_does_not_want_to_end(supervised):
    one = supervised(IGNORES)
    until(lambda: one.lines("started"))
    one.process.send_signal(signal.SIGTERM)
    until(lambda: "event=ending" in one.lines("log"))
    one.process.send_signal(signal.SIGINT)
    assert one.process.wait(20) == 0
    assert one.running() == []


def test_killing_the_supervisor_leaves_nobody(supervised):
    one = supervised(WAITS, WAITS)
    until(lambda: len(one.lines("started")) == 2)
    one.process.kill()
    assert one.process.wait() == -signal.SIGKILL
    until(lambda: one.running() == [])


def test_what_never_becomes_ready_is_given_up_after_growing_pauses(supervised):
    one = supervised(DIES, WAITS, ready="no")
    assert one.process.wait(30) == 1
    assert one.running() == []
    pauses = [line.rpartition("=")[2] for line in one.lines("log") if "event=died" in line]
    assert pauses == ["0.2", "0.4", "0.8", "1.6", "3.2"]
    assert "p0 does not start: it ended 5 times" in one.lines("log")[-1]
