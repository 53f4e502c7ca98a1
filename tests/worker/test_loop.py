"""Claims: taken once, kept alive, and put back with a count when what was done with them breaks."""

import threading

import pytest

from afina.errors import FenceLost, Unavailable
from afina.store import work
from afina.worker.context import Hold
from afina.worker.loop import Kind, Loop


class Doing:
    """Work that does what a test says."""

    def __init__(self) -> None:
        self.done: list[Hold] = []
        self.given_up: list[Hold] = []
        self.error: Exception | None = None
        self.begun = threading.Semaphore(0)
        self.go = threading.Event()
        self.go.set()

    def do(self, context, hold: Hold) -> None:
        self.done.append(hold)
        self.begun.release()
        assert self.go.wait(60)
        if self.error is not None:
            raise self.error
        with context.database.scope(hold.claim.project_id) as scope:
            work.finish(scope, hold.claim)

    def give_up(self, context, hold: Hold) -> None:
        self.given_up.append(hold)
        with context.database.scope(hold.claim.project_id) as scope:
            work.finish(scope, hold.claim)

    @property
    def subjects(self) -> list[str]:
        return [hold.claim.subject for hold in self.done]


@pytest.fixture
def doing() -> Doing:
    return Doing()


@pytest.fixture
def new_loop(context, doing):
    def make(owner="worker-1", slots=2) -> Loop:
        return Loop(context, {"validate": Kind(doing.do, doing.give_up, slots)}, owner)

    return make


def nothing() -> None:
    """There is nothing to tend."""


@pytest.fixture
def running(context):
    """Runs loops in threads until the test is over."""
    threads = []

    def start(*loops: Loop, tend=nothing) -> None:
        for loop in loops:
            threads.append(threading.Thread(target=loop.run, args=(tend,)))
            threads[-1].start()

    yield start
    context.draining.set()
    for thread in threads:
        thread.join(60)
        assert not thread.is_alive()


def test_two_workers_do_each_piece_once(rooms, doing, new_loop, running, until):
    jobs = {rooms.submit().id for _ in range(20)}
    running(new_loop("worker-1"), new_loop("worker-2"))
    until(lambda: len(doing.done) >= 20)
    assert set(doing.subjects) == jobs
    until(lambda: all(rooms.attempts(id) is None for id in jobs))
    assert len(doing.done) == 20
    assert len({hold.claim.owner for hold in doing.done}) == 2


def test_no_more_is_claimed_than_there_is_room_for(rooms, doing, new_loop):
    loop = new_loop(slots=2)
    doing.go.clear()
    for _ in range(3):
        rooms.submit()
    assert [loop.claim_one() for _ in range(3)] == [True, True, False]
    doing.go.set()
    loop.pool.shutdown()
    assert loop.holds == set()
    assert rooms.claim() is not None


def test_a_claim_is_kept_alive_while_it_is_worked_on(rooms, doing, new_loop):
    job = rooms.submit()
    loop, hold = new_loop(), Hold(rooms.claim(owner="worker-1", lease_seconds=0.001))
    loop.renew(hold)
    assert hold.lost.is_set()  # it was too late
    kept = Hold(rooms.claim(owner="worker-1", lease_seconds=600))
    loop.renew(kept)
    assert not kept.lost.is_set()
    rooms.cancel(job.id)
    loop.renew(kept)
    assert kept.lost.is_set()


def test_who_lost_a_claim_is_told_at_the_next_beat(rooms, context, doing, new_loop, running, until):
    job = rooms.submit()
    loop = new_loop()
    object.__setattr__(context.settings, "lease_seconds", 0.6)
    doing.go.clear()
    running(loop)
    assert doing.begun.acquire(timeout=60)
    rooms.cancel(job.id)
    until(lambda: doing.done[0].lost.is_set())
    doing.go.set()


def test_a_beat_that_fails_is_followed_by_the_next(
    rooms, context, doing, new_loop, running, until, monkeypatch
):
    rooms.submit()
    loop, beats = new_loop(), []

    def failing(hold):
        beats.append(hold)
        raise Unavailable("busy") if len(beats) % 2 else RuntimeError("disk")

    monkeypatch.setattr(loop, "renew", failing)
    object.__setattr__(context.settings, "lease_seconds", 0.05)
    doing.go.clear()
    running(loop)
    until(lambda: len(beats) >= 4)
    doing.go.set()
    assert not beats[0].lost.is_set()


def test_a_busy_database_does_not_end_the_worker(rooms, doing, new_loop, running, until):
    calls = []

    def tend() -> None:
        calls.append(1)
        if len(calls) < 3:
            raise Unavailable("The database is busy.")

    rooms.submit()
    running(new_loop(), tend=tend)
    until(lambda: doing.done)
    assert len(calls) >= 3


def test_work_that_breaks_is_tried_three_times_and_then_given_up(rooms, doing, new_loop):
    job = rooms.submit()
    doing.error = RuntimeError("bug")
    for failed in range(3):
        rooms.at_once()
        assert rooms.attempts(job.id) == failed
        loop = new_loop()
        assert loop.claim_one()
        loop.pool.shutdown()
    assert (len(doing.done), doing.given_up) == (3, [])
    assert rooms.claim() is None  # it rests first
    rooms.at_once()
    loop = new_loop()
    assert loop.claim_one()
    loop.pool.shutdown()
    assert (len(doing.done), len(doing.given_up), rooms.attempts(job.id)) == (3, 1, None)


def test_what_the_machine_cannot_do_now_is_not_the_works_fault(rooms, doing, new_loop):
    job = rooms.submit()
    doing.error = Unavailable("There is no room left.", code="insufficient_storage", retry_after=None)
    for _ in range(5):
        rooms.at_once()
        loop = new_loop()
        assert loop.claim_one()
        loop.pool.shutdown()
    assert (rooms.attempts(job.id), rooms.claim()) == (0, None)


def test_work_that_was_lost_is_left_alone(rooms, doing, new_loop):
    job = rooms.submit()
    doing.error = FenceLost("somebody else")
    loop = new_loop()
    loop.claim_one()
    loop.pool.shutdown()
    assert rooms.attempts(job.id) == 0
    assert rooms.claim() is None  # the lease was not given back: it is not ours


def test_a_worker_that_meets_its_own_lost_work_again_keeps_the_new_claim(rooms, doing, new_loop):
    """The first hold ends after the second began, and must not take it along."""
    job = rooms.submit()
    loop = new_loop(slots=2)
    doing.go.clear()
    assert loop.claim_one()
    assert doing.begun.acquire(timeout=60)
    rooms.expire(job.id)
    assert loop.claim_one()
    assert doing.begun.acquire(timeout=60)
    old, new = doing.done
    assert loop.holds == {old, new}
    loop.renew(old)
    loop.renew(new)
    assert (old.lost.is_set(), new.lost.is_set()) == (True, False)
    doing.go.set()
    loop.pool.shutdown()
    assert (loop.holds, rooms.attempts(job.id)) == (set(), None)


def test_draining_waits_for_what_is_under_way(rooms, context, doing, new_loop, until):
    rooms.submit()
    doing.go.clear()
    loop = new_loop()
    thread = threading.Thread(target=loop.run, args=(nothing,))
    thread.start()
    assert doing.begun.acquire(timeout=60)
    context.draining.set()
    rooms.submit()
    assert thread.is_alive()
    doing.go.set()
    thread.join(60)
    assert (thread.is_alive(), len(doing.done)) == (False, 1)
