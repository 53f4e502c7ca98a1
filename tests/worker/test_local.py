"""Hosts as processes: each has a socket of its own and is ended; what a killed worker left is removed by the next."""

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from afina.settings import Settings
from afina.worker.executors import local
from afina.worker.executors.local import LocalExecutor, LocalHost, socket_folder


def test_folders_of_workers_that_were_killed_go(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr(local, "LONGEST_FOLDER", 1000)
    ended = subprocess.Popen(["true"])
    ended.wait()
    left, used, foreign = (
        tmp_path / f"afina-{name}" for name in (f"{ended.pid}-x", f"{os.getpid()}-y", "other-z")
    )
    for folder in (left, used, foreign):
        folder.mkdir()
    made = socket_folder()
    assert sorted(tmp_path.iterdir()) == sorted([used, foreign, made])
    assert made.name.startswith(f"afina-{os.getpid()}-")


def test_a_long_temporary_folder_is_not_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A socket's path has room for 107 bytes; clusters have longer folders than that."""
    long = tmp_path / ("x" * 120)
    long.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(long))
    made = socket_folder()
    made.rmdir()
    assert made.parent == Path("/tmp")


class Process:
    """Lives until it is told to end."""

    pid = 1
    ended = False

    def __init__(self, command: list[str], **options: object):
        pass

    def poll(self) -> int | None:
        return 0 if self.ended else None

    def terminate(self) -> None:
        self.ended = True

    def wait(self, timeout: float) -> int:
        return 0


@pytest.fixture
def restless() -> Iterator[None]:
    """Threads take turns as often as they can."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


def test_hosts_that_are_started_at_once_have_sockets_of_their_own_and_are_all_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, restless: None
) -> None:
    monkeypatch.setattr(subprocess, "Popen", Process)
    executor = LocalExecutor(Settings(data=tmp_path))

    def start(number: int) -> LocalHost:
        return executor.start(f"base-{number}", tmp_path, dtype="float32")

    with ThreadPoolExecutor(8) as pool:
        hosts = list(pool.map(start, range(200)))
    assert len({host.socket for host in hosts}) == len(hosts)
    executor.close()
    assert [host.base for host in hosts if host.alive()] == []
