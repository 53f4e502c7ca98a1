"""Which host a run gets: one per base, shared by a few runs, or alone after a crash that several were part of."""

import logging
import threading
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from afina.errors import AfinaError, Unavailable
from afina.settings import Settings
from afina.store import hosts as host_rows
from afina.store.database import Database
from afina.worker.executors import Executor, Host

log = logging.getLogger(__name__)

POLL_SECONDS = 0.1


class HostLost(AfinaError):
    """The host of a run is gone; the run goes on elsewhere from its last resume point."""


@dataclass(eq=False)
class Seat:
    """A run's place on the host of `base`. While `alone`, nobody else sits there."""

    base: str
    alone: bool


class Hosts:
    """Starts hosts when somebody needs them, tells serving where they are, and seats runs."""

    def __init__(self, settings: Settings, database: Database, executor: Executor, owner: str):
        self.settings = settings
        self.database = database
        self.executor = executor
        self.owner = owner
        self.running: dict[str, Host] = {}
        self.seats: set[Seat] = set()
        self.suspects: set[str] = set()
        self.starting = threading.Lock()
        self.moved = threading.Condition()

    def ensure(self, base: str, source: Path) -> Host:
        """The healthy host of a base, started if there is none; raises `Unavailable` when it does not come up."""
        with self.starting:
            host = self.running.get(base)
            if host and host.alive():
                return host
            self.forget(base)
            with self.database.system() as scope:
                host_rows.starting(scope, base, self.owner)
            host = self.running[base] = self.executor.start(base, source)
            self.await_health(host)
            with self.database.system() as scope:
                host_rows.ready(scope, base, self.owner, address=host.address, pid=host.pid)
            log.info("host ready base=%s address=%s", base, host.address)
            return host

    def await_health(self, host: Host) -> None:
        """Until the host answers; one that ends or takes too long is an error."""
        deadline = time.monotonic() + self.settings.host_start_seconds
        while not host.healthy():
            if not host.alive() or time.monotonic() > deadline:
                raise Unavailable(f"the host of {host.base} did not start; its log says why")
            time.sleep(POLL_SECONDS)

    def forget(self, base: str) -> None:
        """Take a base's dead host off the list."""
        if host := self.running.pop(base, None):
            host.stop()
            with self.database.system() as scope:
                host_rows.gone(scope, base, self.owner)

    def sweep(self) -> None:
        """Take dead hosts off the list, so that serving does not call them; one that is starting is not looked at."""
        if not self.starting.acquire(blocking=False):
            return
        try:
            for base in [base for base, host in self.running.items() if not host.alive()]:
                log.warning("host ended by itself base=%s", base)
                self.forget(base)
        finally:
            self.starting.release()

    @contextmanager
    def seat(self, base: str, *, job: str, giving_up: Callable[[], bool]) -> Generator[Seat]:
        """A place for a run; a suspect waits until the host is empty and keeps it to itself."""
        seat = Seat(base, alone=job in self.suspects)
        with self.moved:
            while not self.free(seat):
                self.moved.wait(POLL_SECONDS)
                if giving_up():
                    raise Unavailable("no place was free in time")
            self.seats.add(seat)
        try:
            yield seat
        finally:
            with self.moved:
                self.seats.remove(seat)
                self.moved.notify_all()

    def free(self, seat: Seat) -> bool:
        """Whether a run could sit down at its base's host now."""
        there = [other for other in self.seats if other.base == seat.base]
        return not there or not (seat.alone or any(other.alone for other in there))

    def suspect(self, seat: Seat, job: str) -> bool:
        """Note that a run's host is gone; True if the run was alone on it, and so is the cause."""
        with self.moved:
            shared = any(other.base == seat.base for other in self.seats - {seat})
            if shared:
                self.suspects.add(job)
            return not shared

    def trust(self, seat: Seat, job: str) -> None:
        """A suspect came further than the place where its host was lost: others may join it."""
        with self.moved:
            self.suspects.discard(job)
            seat.alone = False
            self.moved.notify_all()

    def close(self) -> None:
        """End all hosts."""
        with self.database.system() as scope:
            for base in self.running:
                host_rows.gone(scope, base, self.owner)
        self.executor.close()
