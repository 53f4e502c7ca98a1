"""A real `afina serve` to be measured, spoken to by the plain client."""

import os
import signal
import socket
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import httpx
import openai
import psutil
from openai.types.fine_tuning import FineTuningJob

from afina.processes import die_with
from afina.schemas.fine_tuning import StepMetrics
from afina.schemas.runs import RunSpec
from bench.legs import peak_bytes

KEY = "sk-bench"
FINAL = ("succeeded", "failed", "cancelled")
START_SECONDS = 120.0
POLL_SECONDS = 0.1  # each look costs the server something


class Server:
    """Serves `folder` on a free port until the context ends; up to `jobs` jobs share a host."""

    def __init__(self, folder: Path, *, jobs: int = 4) -> None:
        self.data = folder / "data"
        self.log = folder / "serve.log"
        self.port = free_port()
        ours = {"AFINA_API_KEY": KEY, "AFINA_RUNS_PER_HOST": str(jobs), "NO_PROXY": "127.0.0.1"}
        # How many threads a host computes on is its own affair, as with everybody who runs it.
        self.environment = {
            k: v for k, v in os.environ.items() if k not in ("OMP_NUM_THREADS", "GOMP_SPINCOUNT")
        }
        self.environment |= ours
        folder.mkdir(parents=True, exist_ok=True)
        self.client = openai.OpenAI(base_url=f"http://127.0.0.1:{self.port}/v1", api_key=KEY, max_retries=2)

    def __enter__(self) -> "Server":
        command = [str(Path(sys.executable).with_name("afina")), "serve", "--port", str(self.port)]
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [*command, "--data", str(self.data)],
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                preexec_fn=partial(die_with, os.getpid(), signal.SIGTERM),
            )
        self._await_ready()
        return self

    def __exit__(self, *_: object) -> None:
        self.process.terminate()
        self.process.wait()

    def _await_ready(self) -> None:
        deadline = time.monotonic() + START_SECONDS
        while not self._answers():
            assert time.monotonic() < deadline, f"the server did not start; see {self.log}"
            time.sleep(POLL_SECONDS)

    def _answers(self) -> bool:
        assert self.process.poll() is None, f"the server has ended:\n{self.log.read_text()[-2000:]}"
        try:
            return httpx.get(f"http://127.0.0.1:{self.port}/healthz", trust_env=False).status_code == 200
        except httpx.TransportError:
            return False

    def upload(self, content: bytes) -> str:
        """The id of a new file with these lines."""
        return self.client.files.create(file=("rows.jsonl", content), purpose="fine-tune").id

    def ended(self, job: str) -> FineTuningJob:
        """The job, once it has succeeded."""
        while (seen := self.client.fine_tuning.jobs.retrieve(job)).status not in FINAL:
            time.sleep(POLL_SECONDS)
        assert seen.status == "succeeded", f"{job} {seen.status}: {seen.error}"
        return seen

    def losses(self, job: str) -> list[float]:
        """Of every step, in order."""
        events = self.client.fine_tuning.jobs.list_events(job, limit=100)
        metrics = [StepMetrics.model_validate(event.data) for event in events if event.type == "metrics"]
        by_step = {one.step: one.train_loss for one in metrics if one.train_loss is not None}
        return [by_step[step] for step in sorted(by_step)]

    def spec(self, job: str) -> RunSpec:
        """What the worker has told the host to run; it is there only while the job runs."""
        while self.client.fine_tuning.jobs.retrieve(job).status not in FINAL:
            for path in (self.data / "runs" / job).glob("*/spec.json"):
                try:
                    return RunSpec.model_validate_json(path.read_bytes())
                except (OSError, ValueError):
                    continue  # It is being written.
            time.sleep(POLL_SECONDS / 10)
        raise AssertionError(f"{job} ended before its spec was seen")

    def host_peak(self) -> int:
        """The most memory that the server's largest host has ever had resident."""
        processes = psutil.Process(self.process.pid).children(recursive=True)
        return max(peak_bytes(p.pid) for p in processes if "afina.host" in p.cmdline())


def free_port() -> int:
    """One that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]
