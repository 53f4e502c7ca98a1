"""Keeps programs running: starts them, restarts those that die, ends all of them on a signal.

It knows nothing of what they do. No process is left behind, however this one ends: when it is killed, the kernel
sends SIGTERM to its children.
"""

import logging
import os
import secrets
import select
import signal
import subprocess
import time
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from types import FrameType

from afina.errors import AfinaError
from afina.processes import die_with

log = logging.getLogger(__name__)

ENDING = {signal.SIGTERM, signal.SIGINT, signal.SIGHUP}
FIRST_PAUSE, LONGEST_PAUSE = 0.2, 10.0  # seconds between a death and the next start
DRAIN_SECONDS = 33.0  # children drain up to 30
POLL_SECONDS = 0.2  # of whether the programs are ready
HOPELESS = 5  # deaths in a row before anything was ever ready

Wait = Callable[[float | None], set[int]]


@dataclass(frozen=True)
class Program:
    """A command to keep running; `name_in` is the variable that tells each of its processes its own name."""

    label: str
    command: Sequence[str]
    environment: Mapping[str, str]
    name_in: str = ""


@dataclass
class Child:
    """A program's process of the moment: `process` is None between a death and the next start."""

    program: Program
    process: subprocess.Popen[bytes] | None = None
    name: str = ""
    started: float = 0.0
    start_at: float = 0.0
    deaths: int = 0  # in a row


class Supervisor:
    """`died(name)` is told of each process that ended too early; `ready()` is asked until it says yes.

    The names of all processes begin with `name` and a colon.
    """

    def __init__(
        self,
        programs: Sequence[Program],
        *,
        died: Callable[[str], None],
        ready: Callable[[], bool],
        name: str = "supervisor",
    ) -> None:
        self.name = name
        self.children = [Child(program) for program in programs]
        self.died = died
        self.ready = ready
        self.was_ready = False

    def run(self) -> None:
        """Until a signal ends it. Call it from the main thread, with which the children live and die."""
        with signals(ENDING | {signal.SIGCHLD}) as wait:
            try:
                while not wait(self.pause()) & ENDING:
                    self.turn()
                log.info("event=ending")
            finally:
                self.end_all(wait)

    def turn(self) -> None:
        """Notice deaths, start what is due, and ask whether all is ready."""
        for child in self.children:
            if child.process is not None and child.process.poll() is not None:
                self.bury(child)
            if child.process is None and child.start_at <= time.monotonic():
                self.start(child)
        self.was_ready = self.was_ready or self.ready()

    def pause(self) -> float | None:
        """How long nothing but a signal can be of interest."""
        moments = [child.start_at - time.monotonic() for child in self.children if child.process is None]
        if not self.was_ready:
            moments.append(POLL_SECONDS)
        return max(0.0, min(moments)) if moments else None

    def start(self, child: Child) -> None:
        """A new process under a new name, in a process group of its own: Ctrl-C reaches us alone."""
        program = child.program
        child.name = f"{self.name}:{program.label}:{secrets.token_hex(4)}"
        named = {program.name_in: child.name} if program.name_in else {}
        child.started = time.monotonic()
        child.process = subprocess.Popen(
            program.command,
            env={**program.environment, **named},
            stdin=subprocess.DEVNULL,
            stdout=2,
            process_group=0,
            preexec_fn=partial(before_exec, os.getpid()),
        )
        log.info("event=started child=%s pid=%d", program.label, child.process.pid)

    def bury(self, child: Child) -> None:
        """After a death: end what it left, tell, and plan the next start."""
        assert child.process is not None
        lived = time.monotonic() - child.started
        child.deaths = 1 if lived > LONGEST_PAUSE else child.deaths + 1
        pause = min(LONGEST_PAUSE, FIRST_PAUSE * 2 ** (child.deaths - 1))
        child.start_at = time.monotonic() + pause
        label, process = child.program.label, child.process
        log.warning(
            "event=died child=%s pid=%d code=%d pause=%.1f", label, process.pid, process.returncode, pause
        )
        kill_group(process)
        child.process = None
        self.died(child.name)
        if child.deaths >= HOPELESS and not self.was_ready:
            raise AfinaError(f"{label} does not start: it ended {HOPELESS} times; its own words are above")

    def end_all(self, wait: Wait) -> None:
        """SIGTERM to all; SIGKILL to what is left when the time is up, or at Ctrl-C while they drain.

        A second SIGTERM hurries nobody: `timeout` and process groups deliver it twice.
        """
        alive = [child.process for child in self.children if child.process is not None]
        for process in alive:
            process.terminate()
        deadline = time.monotonic() + DRAIN_SECONDS
        while any(process.poll() is None for process in alive) and time.monotonic() < deadline:
            if signal.SIGINT in wait(deadline - time.monotonic()):
                log.warning("event=killing reason=interrupted")
                break
        for process in alive:
            kill_group(process)
            process.wait()
        log.info("event=ended")


@contextmanager
def signals(numbers: set[signal.Signals]) -> Generator[Wait]:
    """Signals as something to wait for: `wait(seconds)` returns those that came, none when the time is up."""
    reader, writer = os.pipe()
    os.set_blocking(reader, False)
    os.set_blocking(writer, False)

    def wait(seconds: float | None) -> set[int]:
        select.select([reader], [], [], seconds)
        with suppress(BlockingIOError):
            return set(os.read(reader, 4096))
        return set()

    handlers = {number: signal.signal(number, noted) for number in numbers}
    wakeup = signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
    try:
        yield wait
    finally:
        signal.set_wakeup_fd(wakeup)
        for number, handler in handlers.items():
            signal.signal(number, handler)
        os.close(reader)
        os.close(writer)


def noted(number: int, frame: FrameType | None) -> None:
    """A handler must be there for the number to reach the pipe; it has nothing to do."""


def before_exec(parent: int) -> None:
    """In the child: SIGTERM means what it always means, and comes when the parent dies."""
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    die_with(parent, signal.SIGTERM)


def kill_group(process: subprocess.Popen[bytes]) -> None:
    """End a child and whatever it started in its group."""
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
