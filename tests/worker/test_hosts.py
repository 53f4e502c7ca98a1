"""One host for a base; who sits with whom; and what a crash makes of them."""

import threading
from collections.abc import Callable, Generator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest
from sqlalchemy import text

from afina.errors import Unavailable
from afina.schemas.models import Model
from afina.store import hosts as host_rows
from afina.store import models
from afina.worker.executors import HostLost
from afina.worker.executors.local import LocalExecutor
from afina.worker.hosts import Hosts, Seat


@dataclass
class StandInHost:
    base: str
    address: str
    pid: int
    starts: bool = True
    lives: bool = True

    def alive(self) -> bool:
        return self.lives

    def healthy(self) -> bool:
        return self.starts

    def stop(self) -> None:
        self.lives = False


@dataclass
class StandIns:
    """Starts hosts that do nothing."""

    started: list[StandInHost] = field(default_factory=list)
    starts: bool = True
    closed: bool = False

    def start(self, base: str, source: Path, *, dtype: str) -> StandInHost:
        host = StandInHost(base, f"unix:/{len(self.started)}", 100 + len(self.started), starts=self.starts)
        self.started.append(host)
        return host

    def close(self) -> None:
        self.closed = True


@pytest.fixture
def stand_ins() -> StandIns:
    return StandIns()


@pytest.fixture
def hosts(rooms, stand_ins) -> Hosts:
    return Hosts(replace(rooms.settings, host_start_seconds=0.5), rooms.database, stand_ins, "worker-1")


@pytest.fixture
def row(rooms):
    """What serving sees of the base."""

    def read():
        with rooms.database.system(read=True) as system:
            return next((host for host in host_rows.every(system) if host.base == "tiny"), None)

    return read


def test_a_host_is_started_once_and_serving_is_told(hosts, stand_ins, row, base):
    host = hosts.ensure("tiny", base)
    assert hosts.ensure("tiny", base) is host
    assert len(stand_ins.started) == 1
    assert (row().status, row().address, row().pid, row().owner) == ("ready", "unix:/0", 100, "worker-1")


def test_many_who_need_a_base_at_once_get_one_host(hosts, stand_ins, base):
    threads = [threading.Thread(target=hosts.ensure, args=("tiny", base)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(stand_ins.started) == 1


def test_a_dead_host_is_replaced(hosts, stand_ins, row, base):
    hosts.ensure("tiny", base).stop()
    assert hosts.ensure("tiny", base) is stand_ins.started[1]
    assert row().address == "unix:/1"


def test_sweeping_takes_a_dead_host_off_the_list(hosts, row, base):
    hosts.ensure("tiny", base).stop()
    hosts.sweep()
    assert (row().status, row().address, hosts.running) == ("wanted", None, {})


def test_a_host_that_does_not_come_up_is_ended_and_not_taken_for_one(hosts, stand_ins, row, base):
    stand_ins.starts = False
    with pytest.raises(HostLost):
        hosts.ensure("tiny", base)
    assert (stand_ins.started[0].lives, hosts.running, row().status) == (False, {}, "wanted")
    stand_ins.starts = True
    assert hosts.ensure("tiny", base) is stand_ins.started[1]


def test_a_program_that_cannot_be_started_is_a_host_that_is_lost(rooms, row, base, monkeypatch):
    monkeypatch.setattr("sys.executable", "/nowhere/python")
    executor = LocalExecutor(rooms.settings)
    with pytest.raises(HostLost):
        Hosts(rooms.settings, rooms.database, executor, "worker-1").ensure("tiny", base)
    executor.close()
    assert row().status == "wanted"


def test_serving_is_told_later_where_the_database_was_busy(hosts, rooms, row, base, monkeypatch):
    def busy(*_: object):
        raise Unavailable("The database is busy.")

    with monkeypatch.context() as patched, pytest.raises(Unavailable):
        patched.setattr(hosts, "announce", busy)
        hosts.ensure("tiny", base)
    assert row().status == "starting"
    hosts.sweep()
    assert row().status == "ready"


def test_the_host_of_another_worker_stays_the_one_to_call_until_it_is_gone(rooms, hosts, row, base):
    other = Hosts(rooms.settings, rooms.database, StandIns(), "worker-2")
    hosts.ensure("tiny", base)
    other.ensure("tiny", base)
    assert row().owner == "worker-1"
    hosts.forget("tiny")
    other.ensure("tiny", base)
    assert row().owner == "worker-2"


def test_closing_ends_all_and_says_so(hosts, stand_ins, row, base):
    hosts.ensure("tiny", base)
    hosts.close()
    assert (stand_ins.closed, row().status) == (True, "wanted")
    hosts.running.clear()
    with pytest.raises(HostLost):
        hosts.ensure("tiny", base)
    assert len(stand_ins.started) == 1


def never() -> bool:
    return False


def at_once() -> bool:
    return True


def seat(hosts, job, giving_up=at_once, base="tiny"):
    return hosts.seat(base, job=job, giving_up=giving_up)


def test_runs_share_a_host(hosts):
    with seat(hosts, "a") as one, seat(hosts, "b") as two:
        assert one and two
        assert hosts.seats == {one, two}
    assert (hosts.seats, hosts.line) == (set(), [])


def test_a_run_that_dies_among_others_makes_suspects_of_all_of_them(hosts):
    """Whoever notices last finds nobody there any more, and was not alone all the same."""
    with seat(hosts, "b") as two:
        with seat(hosts, "a") as one:
            assert hosts.suspect(one) is False
        assert hosts.suspect(two) is False
    assert hosts.suspects == {"a", "b"}


def test_a_run_that_dies_alone_is_the_cause(hosts):
    with seat(hosts, "a") as one:
        assert hosts.suspect(one) is True
    with seat(hosts, "a") as one, seat(hosts, "b", base="other"):
        assert hosts.suspect(one) is True


def test_a_suspect_sits_alone(hosts):
    hosts.suspects = {"a"}
    with seat(hosts, "b"), seat(hosts, "a") as refused:
        assert refused is None
    with seat(hosts, "a") as suspect:
        assert suspect and suspect.alone
        with seat(hosts, "b") as refused, seat(hosts, "c", base="other") as elsewhere:
            assert refused is None
            assert elsewhere is not None
        assert hosts.suspect(suspect) is True


def test_a_suspect_that_came_further_is_joined(hosts):
    hosts.suspects = {"a"}
    with seat(hosts, "a") as suspect:
        hosts.trust(suspect)
        with seat(hosts, "b") as other:
            assert other is not None
    assert hosts.suspects == set()


def test_who_comes_after_a_waiting_suspect_waits_for_it(hosts, until):
    """Otherwise a busy host would never be empty."""
    hosts.suspects = {"a"}
    order = []

    def sit(job: str, leave: threading.Event) -> None:
        with seat(hosts, job, never):
            order.append(job)
            leave.wait(60)

    leaving = {job: threading.Event() for job in "xab"}
    threads = {}
    for job in "xab":
        threads[job] = threading.Thread(target=sit, args=(job, leaving[job]))
        threads[job].start()
        until(lambda job=job: job in order or any(seat.job == job for seat in hosts.line))
    assert order == ["x"]
    leaving["x"].set()
    until(lambda: len(order) == 2)
    assert order == ["x", "a"]
    leaving["a"].set()
    until(lambda: len(order) == 3)
    leaving["b"].set()
    for thread in threads.values():
        thread.join()
    assert (order, hosts.seats, hosts.line) == (["x", "a", "b"], set(), [])


def test_a_seat_is_given_back_whatever_happens(hosts):
    with pytest.raises(RuntimeError), seat(hosts, "a"):
        raise RuntimeError
    assert hosts.seats == set()


@contextmanager
def own(hosts: Hosts, job: str) -> Generator[tuple[Seat | None, StandInHost | None]]:
    """A place with a host of its own, for who need not wait for it."""
    with hosts.seat("tiny", job=job, giving_up=lambda: True, own=True) as seat:
        if seat is None:
            yield None, None
            return
        with hosts.host(seat, Path()) as host:
            yield seat, host


def test_a_run_with_a_host_of_its_own_shares_it_with_nobody(hosts, rooms):
    """Serving never hears of it, other runs are not in its way, and it ends with the run."""
    with own(hosts, "a") as (seat, host):
        with (
            hosts.seat("tiny", job="b", giving_up=lambda: True) as shared,
            hosts.host(shared, Path()) as other,
        ):
            assert (host.base, other.base) == ("a", "tiny")
        with own(hosts, "c") as (second, _):
            assert second is None  # one at a time: each brings a base with it
        hosts.trust(seat)
        assert seat.alone
        with rooms.database.system(read=True) as system:
            assert [row.base for row in host_rows.every(system)] == ["tiny"]
        assert host.lives
    assert other.lives and not host.lives
    with own(hosts, "c") as (second, _):
        assert second is not None


def test_a_host_of_its_own_that_does_not_start_is_ended(hosts, stand_ins):
    stand_ins.starts = False
    with pytest.raises(HostLost), own(hosts, "a"):
        pass
    assert [host.lives for host in stand_ins.started] == [False]


WHOLE = "ft:tiny:personal::whole000"


@pytest.fixture
def left(rooms, hosts, stand_ins) -> StandInHost:
    """The host of a model that was tuned as a whole, for which nobody has asked lately."""
    model = Model(id=WHOLE, created=1, owned_by="personal", kind="tuned", base=WHOLE, key="k")
    with rooms.database.scope(rooms.project) as scope:
        models.insert(scope, model)
    hosts.ensure(WHOLE, Path())
    with rooms.database.system() as system:
        system.connection.execute(text("UPDATE hosts SET wanted_at = wanted_at - 100"))
    return stand_ins.started[0]


def test_a_host_on_which_a_run_sits_is_not_ended(hosts, left):
    with seat(hosts, "a", base=WHOLE) as taken, hosts.host(taken, Path()):
        hosts.end(WHOLE, idle_seconds=50)
        assert left.lives
    hosts.end(WHOLE, idle_seconds=50)
    assert not left.lives and hosts.running == {}


@dataclass
class Awaited:
    """A lock; while somebody waits for it, something happens."""

    happening: Callable[[], object]

    def __enter__(self) -> None:
        self.happening()

    def __exit__(self, *_: object) -> None:
        pass


def test_a_host_on_which_a_run_sits_down_while_another_one_starts_is_not_ended(hosts, left):
    with ExitStack() as seats:
        hosts.starting = Awaited(lambda: seats.enter_context(seat(hosts, "a", base=WHOLE)))
        hosts.end(WHOLE, idle_seconds=50)
        assert left.lives


def test_a_host_for_which_a_chat_asks_while_another_one_starts_is_not_ended(hosts, left, rooms):
    def want() -> None:
        with rooms.database.system() as system:
            host_rows.want(system, WHOLE)

    hosts.starting = Awaited(want)
    hosts.end(WHOLE, idle_seconds=50)
    assert left.lives
