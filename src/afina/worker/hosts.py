"""Which host a run gets: one per base, shared by a few runs, or alone after a crash that several were part of."""

import logging
import threading
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from afina.schemas.runs import ALL_WEIGHTS
from afina.settings import Settings
from afina.store import hosts as host_rows
from afina.store.database import Database
from afina.worker.executors import Executor, Host, HostLost

log = logging.getLogger(__name__)

POLL_SECONDS = 0.1
OWN = "a host of its own"  # no base has spaces in its name


@dataclass(eq=False)
class Seat:
    """A job's place on the host of `base`. While `alone`, nobody else sits there.

    A run that has a host of its `own` sits on `OWN`: one at a time, because each brings a base with it.
    """

    base: str
    job: str
    alone: bool
    own: bool = False
    crashed_among_others: bool = False  # as the first of them has told


class Hosts:
    """Starts hosts when somebody needs them, tells serving where they are, and seats runs."""

    def __init__(self, settings: Settings, database: Database, executor: Executor, owner: str):
        self.settings = settings
        self.database = database
        self.executor = executor
        self.owner = owner
        self.running: dict[str, Host] = {}
        self.announced: set[str] = set()
        self.closed = False
        self.starting = threading.Lock()
        self.line: list[Seat] = []
        self.seats: set[Seat] = set()
        self.suspects: set[str] = set()
        self.moved = threading.Condition()

    def ensure(self, base: str, source: Path) -> Host:
        """The healthy host of a base, started if there is none; raises `HostLost` when it does not come up."""
        with self.starting:
            host = self.running.get(base)
            if host is None or not host.alive():
                self.forget(base)
                host = self.start(base, source)
            self.announce(host)  # each time: the worker whose host was the one to call may be gone
            return host

    def start(self, base: str, source: Path) -> Host:
        """A new host that answers; one that does not come to that is ended."""
        if self.closed:
            raise HostLost("the worker is ending")
        with self.database.system() as scope:
            host_rows.starting(scope, base, self.owner)
        try:
            host = self.running[base] = self.executor.start(base, source, dtype=self.settings.engine_dtype)
            self.await_health(host)
        except HostLost:
            self.forget(base)
            raise
        log.info("host ready base=%s address=%s", base, host.address)
        return host

    def announce(self, host: Host) -> None:
        """Tell serving where a base answers, unless it has been told of another worker's host."""
        with self.database.system() as scope:
            host_rows.ready(scope, host.base, self.owner, address=host.address, pid=host.pid)
        self.announced.add(host.base)

    def await_health(self, host: Host) -> None:
        """Until the host answers; one that ends or takes too long is lost."""
        deadline = time.monotonic() + self.settings.host_start_seconds
        while not host.healthy():
            if not host.alive() or time.monotonic() > deadline:
                raise HostLost(f"the host of {host.base} did not start; its log says why")
            time.sleep(POLL_SECONDS)

    def forget(self, base: str) -> None:
        """Take a base's host off the list, first where serving looks, and end what is left of it."""
        with self.database.system() as scope:
            host_rows.gone(scope, base, self.owner)
        self.announced.discard(base)
        if host := self.running.pop(base, None):
            host.stop()

    def sweep(self) -> None:
        """Have serving call the hosts that live, and no others; one that is starting is not looked at."""
        if not self.starting.acquire(blocking=False):
            return
        try:
            for base, host in list(self.running.items()):
                if not host.alive():
                    log.warning("host ended by itself base=%s", base)
                    self.forget(base)
                elif base not in self.announced:
                    self.announce(host)
        finally:
            self.starting.release()

    def end(self, base: str, *, idle_seconds: float) -> None:
        """End the host of a base that nobody asks for, unless a run sits on it."""
        with self.starting:  # who sits down from here on asks for a host behind us, and gets another
            if self.left(base, idle_seconds):
                self.forget(base)

    def left(self, base: str, idle_seconds: float) -> bool:
        """Whether nobody needs the host of a base now; it may be long since it was found idle."""
        with self.moved:
            taken = any(seat.base == base for seat in self.seats)
        with self.database.system(read=True) as scope:
            return not taken and base in host_rows.left(scope, self.owner, idle_seconds=idle_seconds)

    @contextmanager
    def host(self, seat: Seat, source: Path) -> Generator[Host]:
        """The host that a seat is on: its base's, or one that serving never hears of and that ends with its run."""
        if not seat.own:
            yield self.ensure(seat.base, source)
            return
        if self.closed:
            raise HostLost("the worker is ending")
        host = self.executor.start(seat.job, source, dtype=ALL_WEIGHTS)
        try:
            self.await_health(host)
            yield host
        finally:
            host.stop()

    @contextmanager
    def seat(
        self, base: str, *, job: str, giving_up: Callable[[], bool], own: bool = False
    ) -> Generator[Seat | None]:
        """A place for a run, first come first served; None when `giving_up` before there was one.

        A suspect waits until the host is empty and keeps it to itself, so who came later waits for it.
        """
        with self.moved:
            seat = Seat(OWN if own else base, job, alone=own or job in self.suspects, own=own)
            self.line.append(seat)
        try:
            yield seat if self.sat_down(seat, giving_up) else None
        finally:
            with self.moved:
                self.seats.discard(seat)
                self.line = [other for other in self.line if other is not seat]
                self.moved.notify_all()

    def sat_down(self, seat: Seat, giving_up: Callable[[], bool]) -> bool:
        """Wait for one's turn; False where that was given up."""
        while True:
            with self.moved:
                if self.free(seat):
                    self.line.remove(seat)
                    self.seats.add(seat)
                    self.moved.notify_all()
                    return True
                self.moved.wait(POLL_SECONDS)
            if giving_up():
                return False

    def free(self, seat: Seat) -> bool:
        """Whether it is a seat's turn in its base's line, and those who sit there let it join them."""
        turn = next(other for other in self.line if other.base == seat.base)
        there = self.there(seat)
        return turn is seat and (not there or not (seat.alone or any(other.alone for other in there)))

    def there(self, seat: Seat) -> list[Seat]:
        """The others who sit on the host of a seat's base."""
        return [other for other in self.seats if other.base == seat.base and other is not seat]

    def suspect(self, seat: Seat) -> bool:
        """Note that a run's host is gone; True if the run was alone on it, and so is the cause.

        Runs learn of it one after the other: the first one tells those who have not noticed yet.
        """
        with self.moved:
            for other in self.there(seat):
                other.crashed_among_others = seat.crashed_among_others = True
            if seat.crashed_among_others:
                self.suspects.add(seat.job)
            return not seat.crashed_among_others

    def trust(self, seat: Seat) -> None:
        """A suspect came further than the place where its host was lost: others may join it."""
        with self.moved:
            self.suspects.discard(seat.job)
            seat.alone = seat.own
            self.moved.notify_all()

    def close(self) -> None:
        """End all hosts; no more are started."""
        self.closed = True
        try:
            with self.database.system() as scope:
                for base in list(self.running):
                    host_rows.gone(scope, base, self.owner)
        finally:
            self.executor.close()
