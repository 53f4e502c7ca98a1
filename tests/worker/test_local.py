"""The sockets of hosts: what a killed worker left is removed by the next one."""

import os
import subprocess
import tempfile
from pathlib import Path

import pytest

from afina.worker.executors import local
from afina.worker.executors.local import socket_folder


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
