"""Who gets the device next: one thread owns it, and units of work take turns.

A unit is a decode step, the prompt of one row, or one step of a request: a generator that yields where the
device may go to somebody else. A long unit also lets samples pass in between, where it breathes. Turns depend on the
clock, results never do.
"""

import threading
import time
import traceback
from collections import deque
from collections.abc import Generator
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Generic, Protocol, TypeVar

from afina.errors import Unavailable

T = TypeVar("T")

# Seconds that one side may be ahead of the other at most, so that no credit is saved up for long.
LEAD = 1.0


class Stepper(Protocol):
    """What samples: it has work or has none, and does one unit of it at a time."""

    @property
    def busy(self) -> bool:
        """Whether there is work."""
        ...

    def step(self) -> None:
        """Do one unit of it."""
        ...

    def end(self, error: Exception) -> None:
        """Tell everyone who waits that there will be no more."""
        ...


@dataclass(slots=True)
class Turns:
    """Sampling goes first, but has at most half of the seconds for which both sides want the device."""

    lead: float = 0.0

    def sampling_next(self, *, sampling: bool, requests: bool) -> bool:
        """Whether the next unit is a sampling step; at least one side wants it."""
        return sampling and (not requests or self.lead <= 0)

    def account(self, seconds: float, *, sampled: bool) -> None:
        """Note a unit during which the other side was waiting."""
        self.lead = max(-LEAD, min(LEAD, self.lead + (seconds if sampled else -seconds)))


@dataclass(frozen=True, slots=True)
class Request(Generic[T]):
    """A generator to be run to its end, and who waits for what it returns."""

    work: Generator[None, None, T]
    future: "Future[T]" = field(default_factory=Future)

    def advance(self) -> bool:
        """Run one unit; True when there is nothing left to do."""
        if self.future.cancelled():
            self.work.close()
            return True
        try:
            next(self.work)
        except StopIteration as end:
            if self.future.set_running_or_notify_cancel():
                self.future.set_result(end.value)
        except Exception as error:
            # The frames hold the tensors of the pass; who keeps the error must not keep them.
            traceback.clear_frames(error.__traceback__)
            if self.future.set_running_or_notify_cancel():
                self.future.set_exception(error)
        else:
            return False
        return True


class Scheduler:
    """Runs everything on one thread of its own; requests of one key in their order, the keys in turns."""

    def __init__(self) -> None:
        self.turns = Turns()
        self._since = 0.0
        self._sampler: Stepper | None = None
        self._queues: dict[str | None, deque[Request[object]]] = {}
        self._changed = threading.Condition()
        self._closed = False
        self._thread = threading.Thread(target=self._run, name="afina-device", daemon=True)
        self._thread.start()

    def submit(self, key: str | None, work: Generator[None, None, T]) -> "Future[T]":
        """Queue a request; cancelling its future ends it at the next unit."""
        request = Request(work)
        with self._changed:
            if self._closed:
                raise Unavailable("The engine is closed.", retry_after=None)
            self._queues.setdefault(key, deque()).append(request)  # type: ignore[arg-type]
            self._changed.notify()
        return request.future

    def serve(self, sampler: Stepper) -> None:
        """From now on, this is what samples."""
        self._sampler = sampler

    def wake(self) -> None:
        """The sampler may have work, or rows to let go. Raises Unavailable when nobody would do it."""
        with self._changed:
            if self._closed:
                raise Unavailable("The engine is closed.", retry_after=None)
            self._changed.notify()

    def close(self) -> None:
        """Finish the unit at hand and stop; whoever still waits gets Unavailable."""
        with self._changed:
            self._closed = True
            self._changed.notify()
        self._thread.join()

    def _run(self) -> None:
        try:
            while self._wait():
                self._turn()
        finally:
            self._end()

    def breathe(self) -> None:
        """Called by a request in the middle of its unit: samples have their turn, as far as it is due."""
        self._account(sampled=False)
        while not self._closed and self._sampling and self.turns.sampling_next(sampling=True, requests=True):
            self._sample()
            self._account(sampled=True)

    def _turn(self) -> None:
        """One unit for one side."""
        sampled = self.turns.sampling_next(sampling=self._sampling, requests=bool(self._queues))
        self._since = time.perf_counter()
        if sampled:
            self._sample()
        else:
            self._advance()
        self._account(sampled=sampled)

    def _sample(self) -> None:
        if self._sampler is not None:
            self._sampler.step()

    def _account(self, *, sampled: bool) -> None:
        """The seconds since the last account count for a side when the other one waits."""
        before, self._since = self._since, time.perf_counter()
        if self._queues if sampled else self._sampling:
            self.turns.account(self._since - before, sampled=sampled)

    @property
    def _sampling(self) -> bool:
        return self._sampler is not None and self._sampler.busy

    def _wait(self) -> bool:
        """Block until there is work; False when there never will be any more."""
        with self._changed:
            self._changed.wait_for(lambda: self._closed or self._queues or self._sampling)
            return not self._closed

    def _advance(self) -> None:
        """One unit of the key that has waited longest; it then goes to the end of the line."""
        with self._changed:
            key = next(iter(self._queues))
            request = self._queues[key][0]
        over = request.advance()
        with self._changed:
            queue = self._queues.pop(key)
            if over:
                queue.popleft()
            if queue:
                self._queues[key] = queue

    def _end(self) -> None:
        """Also where this thread dies of its own error: nobody shall wait for what will never come."""
        with self._changed:
            self._closed = True
        error = Unavailable("The engine is closed.", retry_after=None)
        for request in (request for queue in self._queues.values() for request in queue):
            request.work.close()
            if request.future.set_running_or_notify_cancel():
                request.future.set_exception(error)
        if self._sampler is not None:
            self._sampler.end(error)
