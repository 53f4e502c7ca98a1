"""Claims, leases and fences."""

import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
from sqlalchemy import text

from afina.errors import FenceLost
from afina.store import projects, work
from afina.store.database import Database

CLAIMER = Path(__file__).parent / "claim_until_empty.py"
HOUR = 3600.0


def enqueue(database: Database, project: str, *subjects: str, kind: str = "train") -> None:
    with database.scope(project) as scope:
        for subject in subjects:
            work.enqueue(scope, subject, kind)


def claim(database: Database, owner: str = "w", kind: str = "train", lease_seconds: float = HOUR):
    with database.system() as system:
        return work.claim(system, owner, [kind], lease_seconds=lease_seconds)


def expire(database: Database, subject: str) -> None:
    """As if the lease's time had passed."""
    with database.system() as system:
        late = text("UPDATE work SET lease_until = lease_until - 7200 WHERE subject = :subject")
        assert system.connection.execute(late, {"subject": subject}).rowcount == 1


def test_a_claim_is_exclusive_and_the_oldest_comes_first(database: Database, project: str):
    enqueue(database, project, "a", "b")
    first, second, third = claim(database), claim(database), claim(database)
    assert first and second and third is None
    assert (first.subject, first.fence, first.attempts, first.project_id) == ("a", 1, 0, project)
    assert second.subject == "b"


def test_only_the_kinds_asked_for_are_claimed(database: Database, project: str):
    enqueue(database, project, "a", kind="validate")
    assert claim(database, kind="train") is None
    assert claim(database, kind="validate") is not None


def test_work_waits_for_its_delay(database: Database, project: str):
    with database.scope(project) as scope:
        work.enqueue(scope, "later", "train", delay=HOUR)
    assert claim(database) is None
    enqueue(database, project, "later")  # asked for anew: now
    assert claim(database) is not None


def test_projects_take_turns(database: Database, project: str, other: str):
    with database.system() as system:
        third = projects.create(system, projects.every(system)[0].organization_id, "Third").id
    enqueue(database, project, *(f"flood-{number}" for number in range(20)))
    enqueue(database, other, "one", "two")
    enqueue(database, third, "three")
    claimed = [claim(database) for _ in range(5)]
    assert [taken.subject for taken in claimed if taken] == ["flood-0", "one", "three", "flood-1", "two"]


def test_projects_take_turns_even_when_nothing_is_held(database: Database, project: str, other: str):
    enqueue(database, project, "flood-0", "flood-1", "flood-2")
    enqueue(database, other, "one")
    order: list[str] = []
    while taken := claim(database):
        order.append(taken.subject)
        with database.scope(taken.project_id) as scope:
            work.finish(scope, taken)
    assert order == ["flood-0", "one", "flood-1", "flood-2"]


def test_an_expired_lease_is_lost_and_the_next_fence_is_higher(database: Database, project: str):
    enqueue(database, project, "a")
    old = claim(database, "zombie")
    assert old
    expire(database, "a")
    with database.system() as system:
        assert not work.renew(system, old, HOUR)
    new = claim(database, "successor")
    assert new and new.fence == old.fence + 1
    with database.scope(project) as scope:
        assert not work.holds(scope, "a", old.fence)
        work.require(scope, "a", new.fence)
        with pytest.raises(FenceLost, match="fence 1"):
            work.require(scope, "a", old.fence)
    with database.system() as system:
        assert not work.renew(system, old, HOUR)
        assert not work.release(system, old)
        assert work.renew(system, new, HOUR)
    with database.scope(project) as scope:
        work.finish(scope, old)  # a zombie finishes nothing
        assert work.holds(scope, "a", new.fence)


def test_renewing_makes_a_lease_longer(database: Database, project: str):
    enqueue(database, project, "a")
    held = claim(database)
    assert held
    with database.system() as system:
        assert work.renew(system, held, 3 * HOUR)
    expire(database, "a")  # two hours pass
    assert claim(database) is None


def test_a_dead_workers_leases_end_at_once(database: Database, project: str):
    enqueue(database, project, "a", "b", "c")
    dead = [claim(database, "dead"), claim(database, "dead")]
    alive = claim(database, "alive")
    with database.system() as system:
        assert work.release_owner(system, "dead") == 2
    with database.scope(project) as scope:
        assert not any(work.holds(scope, gone.subject, gone.fence) for gone in dead if gone)
        assert alive and work.holds(scope, alive.subject, alive.fence)
    again = claim(database, "alive")
    assert again and (again.subject, again.fence) == ("a", 2)


def test_releasing_gives_work_back_after_a_while_with_its_attempts(database: Database, project: str):
    enqueue(database, project, "a", "b")
    first, second = claim(database), claim(database)
    assert first and second
    with database.system() as system:
        assert work.release(system, first, delay=HOUR, attempts=1)
        assert work.release(system, second, attempts=2)
    again = claim(database)
    assert again and (again.subject, again.attempts, again.fence) == ("b", 2, 2)
    assert claim(database) is None


def test_handing_on_makes_it_the_next_kind_without_failed_attempts(database: Database, project: str):
    enqueue(database, project, "a", kind="validate")
    failed = claim(database, kind="validate")
    assert failed
    with database.system() as system:
        work.release(system, failed, attempts=2)
    held = claim(database, kind="validate")
    assert held and held.attempts == 2
    with database.scope(project) as scope:
        work.hand_on(scope, held, "train")
    with pytest.raises(FenceLost), database.scope(project) as scope:
        work.hand_on(scope, held, "train")
    next_held = claim(database, kind="train")
    assert next_held and (next_held.fence, next_held.attempts) == (3, 0)


def test_a_subject_that_comes_back_never_meets_an_old_fence(database: Database, project: str):
    enqueue(database, project, "a")
    fences: list[int] = []
    for _ in range(3):
        held = claim(database)
        assert held
        fences.append(held.fence)
        with database.scope(project) as scope:
            work.finish(scope, held)
            assert not work.holds(scope, "a", held.fence)
        assert claim(database) is None
        enqueue(database, project, "a")
    assert fences == [1, 2, 3]


def test_another_projects_work_is_neither_asked_for_nor_removed(database: Database, project: str, other: str):
    enqueue(database, project, "a")
    with database.scope(other) as scope:
        work.enqueue(scope, "a", "stolen")
        work.remove(scope, "a")
    held = claim(database)
    assert held and held.project_id == project
    with database.scope(other) as scope:
        assert not work.holds(scope, "a", held.fence)


def test_processes_with_threads_claim_each_piece_once(database: Database, project: str, other: str, url: str):
    subjects = [f"job-{number}" for number in range(100)]
    enqueue(database, project, *subjects[:70])
    enqueue(database, other, *subjects[70:])
    command = [sys.executable, str(CLAIMER), url]
    running = [subprocess.Popen([*command, f"w{n}"], stdout=subprocess.PIPE, text=True) for n in range(4)]
    printed = [process.communicate(timeout=120)[0].split() for process in running]
    assert all(process.returncode == 0 for process in running)
    counted = Counter(subject for claims in printed for subject in claims)
    assert counted == Counter(subjects)
