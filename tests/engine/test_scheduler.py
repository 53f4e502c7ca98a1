"""Turns on the device: fair, interruptible, and closed without leaving anyone waiting."""

import threading
import time

import pytest

from afina.engine.scheduler import LEAD, Scheduler, Turns
from afina.errors import Unavailable


@pytest.fixture
def scheduler():
    scheduler = Scheduler()
    yield scheduler
    if scheduler._thread.is_alive():
        scheduler.close()


def units(log, name, count, *, gate=None):
    """A request of `count` units and an answer; each unit is logged, the first waits for the gate."""
    for n in range(count):
        if gate is not None:
            gate.wait(10)
        log.append((name, n))
        yield
    return name


def test_keys_take_turns_and_one_key_keeps_its_order(scheduler):
    log, gate = [], threading.Event()
    futures = [scheduler.submit("first", units(log, "first", 1, gate=gate))]
    futures += [
        scheduler.submit(key, units(log, name, 2)) for key, name in (("a", "a1"), ("b", "b"), ("a", "a2"))
    ]
    gate.set()
    assert [future.result(10) for future in futures] == ["first", "a1", "b", "a2"]
    assert log == [("first", 0), ("a1", 0), ("b", 0), ("a1", 1), ("b", 1), ("a2", 0), ("a2", 1)]


def test_a_failure_reaches_its_caller_and_the_next_request_runs(scheduler):
    def fails():
        yield
        raise MemoryError("no room")

    with pytest.raises(MemoryError, match="no room"):
        scheduler.submit("a", fails()).result(10)
    assert scheduler.submit("a", units([], "after", 1)).result(10) == "after"


def test_a_cancelled_request_ends_at_its_next_unit(scheduler):
    started, gate, ended = threading.Event(), threading.Event(), threading.Event()

    def endless():
        try:
            while True:
                started.set()
                gate.wait(10)
                yield
        finally:
            ended.set()

    future = scheduler.submit("a", endless())
    assert started.wait(10) and future.cancel()
    gate.set()
    assert ended.wait(10)
    assert scheduler.submit("a", units([], "after", 1)).result(10) == "after"


def test_closing_answers_everyone_who_waits(scheduler):
    gate, started = threading.Event(), threading.Event()

    def slow():
        started.set()
        gate.wait(10)
        yield

    futures = [scheduler.submit("a", slow()), scheduler.submit("a", units([], "never", 1))]
    assert started.wait(10)
    closer = threading.Thread(target=scheduler.close)
    closer.start()
    gate.set()
    closer.join(10)
    for future in futures:
        with pytest.raises(Unavailable):
            future.result(10)
    with pytest.raises(Unavailable):
        scheduler.submit("a", units([], "late", 1))
    with pytest.raises(Unavailable):
        scheduler.wake()


class Steps:
    """A sampler with a given number of steps left."""

    def __init__(self, log, count):
        self.log, self.count, self.ended = log, count, None

    @property
    def busy(self):
        return self.count > 0

    def step(self):
        self.count -= 1
        self.log.append("sample")

    def end(self, error):
        self.ended = error


def test_sampling_and_requests_both_finish(scheduler):
    log = []
    sampler = Steps(log, 50)
    scheduler.serve(sampler)
    scheduler.wake()
    assert scheduler.submit("a", units(log, "a", 30)).result(10) == "a"
    scheduler.close()
    assert log.count("sample") + sampler.count == 50
    assert isinstance(sampler.ended, Unavailable)


def simulate(sampling_seconds: float, training_seconds: float, units: int) -> tuple[float, float, str]:
    """Both sides always want the device: the seconds each of them got, and the order."""
    turns, got, order = Turns(), {True: 0.0, False: 0.0}, ""
    for _ in range(units):
        sampled = turns.sampling_next(sampling=True, requests=True)
        seconds = sampling_seconds if sampled else training_seconds
        turns.account(seconds, sampled=sampled)
        got[sampled] += seconds
        order += "s" if sampled else "t"
    return got[True], got[False], order


@pytest.mark.parametrize("seconds", [(0.01, 0.2), (0.2, 0.01), (0.05, 0.05), (0.3, 0.2)])
def test_each_side_keeps_half_of_the_seconds_while_both_wait(seconds):
    sampled, trained, order = simulate(*seconds, units=2000)
    assert order[0] == "s"
    assert abs(sampled - trained) <= 2 * max(seconds)
    assert "tt" not in order or seconds[1] < seconds[0]


def test_a_side_alone_gets_everything_and_saves_up_little():
    turns = Turns()
    assert turns.sampling_next(sampling=True, requests=False)
    assert not turns.sampling_next(sampling=False, requests=True)
    turns.account(1000.0, sampled=False)
    assert turns.lead == -LEAD
    turns.account(1000.0, sampled=True)
    assert turns.lead == LEAD
    assert turns.sampling_next(sampling=True, requests=False)


class Countdown:
    """Samples so many times."""

    def __init__(self, left: int) -> None:
        self.left = left

    @property
    def busy(self) -> bool:
        return self.left > 0

    def step(self) -> None:
        self.left -= 1

    def end(self, error: Exception) -> None:
        """Nobody waits."""


def test_samples_pass_where_a_long_unit_breathes(scheduler):
    sampler = Countdown(0)
    scheduler.serve(sampler)

    def long():
        sampler.left = 3  # They arrive in the middle of the unit.
        deadline = time.monotonic() + 10
        while sampler.busy and time.monotonic() < deadline:
            scheduler.breathe()
        yield
        return sampler.left

    assert scheduler.submit("a", long()).result(20) == 0


def test_a_unit_that_owes_nothing_goes_on_where_it_breathes(scheduler):
    sampler = Countdown(0)
    scheduler.serve(sampler)

    def long():
        scheduler.turns.lead = LEAD
        sampler.left = 3
        scheduler.breathe()
        left, sampler.left = sampler.left, 0
        yield
        return left

    assert scheduler.submit("a", long()).result(20) == 3
