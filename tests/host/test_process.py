"""The host as it really runs: a process on a Unix socket that ends with whoever started it."""

import os
import select
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

STARTER = """
import os, subprocess, sys
command = [sys.executable, "-m", "afina.host", "--base", "tiny", "--source", sys.argv[1]]
command += ["--socket", sys.argv[2], "--threads", "1", "--parent", str(os.getpid())]
host = subprocess.Popen(command)
print(host.pid, flush=True)
host.wait()
"""


@pytest.fixture
def socket() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="afina-") as folder:
        yield Path(folder) / "host.sock"


def start(base: Path, socket: Path) -> tuple[subprocess.Popen[str], int]:
    """A process that starts a host and waits for it, and the host's pid."""
    command = [sys.executable, "-c", STARTER, str(base), str(socket)]
    starter = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert starter.stdout is not None
    return starter, int(starter.stdout.readline())


def answering(client: httpx.Client, starter: subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and starter.poll() is None:
        try:
            client.get("/health")
            return
        except httpx.TransportError:
            time.sleep(0.05)
    raise AssertionError("the host did not come up")


def ends(pid: int) -> bool:
    """Whether a process that is not our child ends."""
    handle = os.pidfd_open(pid)
    try:
        return bool(select.select([handle], [], [], 60)[0])
    finally:
        os.close(handle)


def test_it_answers_and_dies_with_the_process_that_started_it(base, socket):
    starter, pid = start(base, socket)
    with httpx.Client(
        transport=httpx.HTTPTransport(uds=str(socket)), base_url="http://host", timeout=60
    ) as client:
        answering(client, starter)
        order = {"model": "tiny", "prompt": [1, 300, 301], "max_tokens": 3, "temperature": 0}
        reply = client.post("/v1/completions", json=order).json()
        assert 1 <= len(reply["choices"][0]["token_ids"]) <= 3
    starter.kill()
    starter.wait()
    assert ends(pid)


def test_who_asks_too_late_to_die_with_its_parent_dies_at_once():
    code = "import signal; from afina.processes import die_with; die_with(1, signal.SIGKILL); print('alive')"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=False)
    assert (done.returncode, done.stdout) == (-signal.SIGKILL, b"")
