"""Hosts as child processes on this machine, each behind a Unix socket."""

import os
import shutil
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx

from afina.schemas.completions import Health
from afina.schemas.runs import Dtype
from afina.settings import Settings
from afina.worker.executors import HostLost

# A thread that spins for long at a barrier takes the core from whoever would end its wait; see docs/decisions/0008.
PATIENT = {"GOMP_SPINCOUNT": "30000"}
LONGEST_FOLDER = 60  # characters of a temporary folder's path that leave room for the rest of a socket's
STOP_SECONDS = 20.0
HEALTH_SECONDS = 2.0
ANSWER_SECONDS = 30.0


class LocalHost:
    """One child process."""

    def __init__(self, base: str, socket: Path, process: subprocess.Popen[bytes]):
        self.base = base
        self.socket = socket
        self.address = f"unix:{socket}"
        self.process = process
        self.pid = process.pid
        self.client = httpx.Client(
            transport=httpx.HTTPTransport(uds=str(socket)), base_url="http://host", timeout=ANSWER_SECONDS
        )

    def alive(self) -> bool:
        """Whether the process still runs."""
        return self.process.poll() is None

    def healthy(self) -> bool:
        """Whether it answers."""
        return self.health() is not None

    def has_run(self, run: str) -> bool:
        """Whether a run is still under way; a host that is too busy to say has lost none."""
        return self.alive() and ((health := self.health()) is None or run in health.runs)

    def health(self) -> Health | None:
        """What the host says it is doing, if it says so in time."""
        try:
            reply = self.client.get("/health", timeout=HEALTH_SECONDS)
        except httpx.TransportError:
            return None
        return Health.model_validate_json(reply.content) if reply.status_code == 200 else None

    def stop(self) -> None:
        """SIGTERM, then SIGKILL for one that does not end."""
        self.process.terminate()
        try:
            self.process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.client.close()
        self.socket.unlink(missing_ok=True)

    def start_run(self, spec: Path) -> None:
        """Start the run whose spec lies in `spec`."""
        self.post("/runs", {"spec": str(spec)})

    def stop_run(self, run: str) -> None:
        """Ask a run to stop after its next step."""
        self.post(f"/runs/{run}/stop", {})

    def post(self, path: str, body: dict[str, str]) -> None:
        """One request; a host that does not take it is `HostLost`."""
        try:
            self.client.post(path, json=body).raise_for_status()
        except httpx.HTTPError as error:
            raise HostLost(f"the host of {self.base} did not take {path}: {type(error).__name__}") from error


def socket_folder() -> Path:
    """A new folder with a short name, for a socket's path may have 107 bytes; those of killed workers are removed."""
    temporary = Path(tempfile.gettempdir())
    if len(str(temporary)) > LONGEST_FOLDER:
        temporary = Path("/tmp")
    for left in temporary.glob("afina-*-*"):
        pid = left.name.split("-")[1]
        if pid.isdigit() and not Path(f"/proc/{pid}").exists():
            shutil.rmtree(left, ignore_errors=True)
    return Path(tempfile.mkdtemp(prefix=f"afina-{os.getpid()}-", dir=temporary))


class LocalExecutor:
    """Starts hosts from one thread that lives as long as the worker: the kernel ends a child with that thread."""

    def __init__(self, settings: Settings):
        self.settings = settings
        self.sockets = socket_folder()
        self.hosts: list[LocalHost] = []
        self.starter = ThreadPoolExecutor(1, thread_name_prefix="host-starter")
        self.started = 0

    def start(self, base: str, source: Path, *, dtype: Dtype) -> LocalHost:
        """A new host; its log goes where ours goes."""
        return self.starter.submit(self.launch, base, source, dtype).result()

    def launch(self, base: str, source: Path, dtype: Dtype) -> LocalHost:
        """The starter's part: several threads ask, but only one numbers sockets and keeps the list of hosts."""
        self.started += 1
        socket = self.sockets / f"{self.started}.sock"
        command = [sys.executable, "-m", "afina.host", "--base", base, "--source", str(source)]
        command += ["--socket", str(socket), "--threads", str(self.settings.engine_threads)]
        command += ["--dtype", dtype, "--parent", str(os.getpid())]
        try:
            process = subprocess.Popen(command, stdin=subprocess.DEVNULL, env={**PATIENT, **os.environ})
        except OSError as error:
            raise HostLost(f"the host of {base} cannot be started: {error.strerror}") from error
        host = LocalHost(base, socket, process)
        self.hosts = [other for other in self.hosts if other.alive()] + [host]
        return host

    def close(self) -> None:
        """End all hosts at once, then wait for each."""
        for host in self.hosts:
            host.process.terminate()
        for host in self.hosts:
            host.stop()
        self.starter.shutdown()
        shutil.rmtree(self.sockets, ignore_errors=True)
