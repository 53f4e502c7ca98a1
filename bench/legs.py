"""A leg of a comparison: a warm process of its own that works when it is told to, and reports.

Its imports, model and caches stay between turns. Nothing of a leg runs in the process that measures.
"""

import multiprocessing
import os
import signal
from collections.abc import Callable
from contextlib import suppress
from importlib import import_module
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Generic, TypeVar

from afina.processes import die_with

Setup = TypeVar("Setup")
Answer = TypeVar("Answer")

# As the product's own hosts are started; a peer gains by it too.
ENVIRONMENT = {
    "GOMP_SPINCOUNT": "30000",
    "HF_DATASETS_DISABLE_PROGRESS_BARS": "1",
    "HF_HUB_DISABLE_PROGRESS_BARS": "1",
    "HF_HUB_OFFLINE": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "TOKENIZERS_PARALLELISM": "false",
    "TRANSFORMERS_VERBOSITY": "error",
    "WANDB_MODE": "disabled",
}


class LegFailed(Exception):
    """A leg ended before it had answered; what it said stands on stderr."""


class Leg(Generic[Setup]):
    """A spawned process that calls `module:function` with a connection and a setup.

    It says "ready", then answers each request; None tells it to end. We name the function and do not import it: its
    libraries are the leg's.
    """

    def __init__(self, name: str, target: str, setup: Setup) -> None:
        self.name = name
        ours, theirs = multiprocessing.Pipe()
        self.connection: Connection = ours
        os.environ.update({**ENVIRONMENT, "OMP_NUM_THREADS": str(os.cpu_count() or 1)})
        self.process = multiprocessing.get_context("spawn").Process(
            target=_guarded, args=(target, theirs, setup)
        )
        self.process.start()
        theirs.close()
        self.receive(str)

    def ask(self, request: object, kind: type[Answer]) -> Answer:
        """Send a request and wait for its answer."""
        self.connection.send(request)
        return self.receive(kind)

    def receive(self, kind: type[Answer]) -> Answer:
        """The next answer; `LegFailed` where the process has ended instead."""
        try:
            answer = self.connection.recv()
        except EOFError:
            self.process.join()
            raise LegFailed(f"The leg '{self.name}' ended with {self.process.exitcode}.") from None
        assert isinstance(answer, kind)
        return answer

    def close(self) -> None:
        """Tell the process to end, and wait until it has written what it leaves behind."""
        with suppress(OSError):  # It has ended by itself.
            self.connection.send(None)
        self.process.join()
        self.connection.close()

    def __enter__(self) -> "Leg[Setup]":
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is not None:
            self.process.kill()
        self.close()


def _guarded(target: str, connection: Connection, setup: object) -> None:
    die_with(os.getppid(), signal.SIGKILL)
    with connection:
        _named(target)(connection, setup)


def _named(target: str) -> Callable[..., object]:
    module, _, function = target.partition(":")
    return getattr(import_module(module), function)


def apart(work: str, setup: object, kind: type[Answer]) -> Answer:
    """What the function `module:function` returns for a setup when a fresh process calls it."""
    with Leg(work, f"{__name__}:_answer_once", (work, setup)) as leg:
        return leg.ask("go", kind)


def _answer_once(connection: Connection, job: tuple[str, object]) -> None:
    connection.send("ready")
    connection.recv()
    work, setup = job
    connection.send(_named(work)(setup))
    connection.recv()


def peak_bytes(pid: int | None = None) -> int:
    """The most memory that a process has ever had resident, since it runs its own program."""
    status = Path(f"/proc/{pid or 'self'}/status").read_text()
    line = next(line for line in status.splitlines() if line.startswith("VmHWM:"))
    return int(line.split()[1]) * 1024
