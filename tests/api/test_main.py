"""The server as a process: its settings come from the environment, and SIGTERM ends it."""

import os
import signal
import socket
import subprocess
import sys
import time

import httpx

from afina.settings import Settings


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


def wait_for(url: str, process: subprocess.Popen[bytes]) -> httpx.Response:
    end = time.monotonic() + 60
    while True:
        assert process.poll() is None and time.monotonic() < end
        try:
            return httpx.get(url, trust_env=False)
        except httpx.TransportError:
            time.sleep(0.05)


def test_it_serves_until_it_is_told_to_end(settings: Settings):
    port = free_port()
    environment = {**os.environ, **settings.to_environment(), "AFINA_PORT": str(port)}
    process = subprocess.Popen([sys.executable, "-m", "afina.api"], env=environment)
    try:
        reply = wait_for(f"http://127.0.0.1:{port}/healthz", process)
        assert reply.status_code == 200 and "server" not in reply.headers
        long = httpx.get(f"http://127.0.0.1:{port}/", headers={"x-long": "a" * 40_000}, trust_env=False)
        assert long.status_code == 431 and long.json()["error"]["code"] == "request_header_fields_too_large"
    finally:
        process.send_signal(signal.SIGTERM)
        assert process.wait(25) in (0, -signal.SIGTERM)
