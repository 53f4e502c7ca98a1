"""Work that may end its worker spends an attempt when it is claimed, and gets it back when it ends in order."""

import pytest

from afina.schemas.batches import BatchResult
from afina.store import batches, work
from afina.store.batches import Result
from afina.store.database import Database
from afina.store.work import Claim


@pytest.fixture
def take(database: Database):
    def claim(kind: str = "validate", **options) -> Claim | None:
        with database.system() as system:
            return work.claim(system, "w", [kind], lease_seconds=600, spending={kind}, **options)

    return claim


def die(database: Database) -> None:
    with database.system() as system:
        work.release_owner(system, "w")


def test_each_death_spends_one(database: Database, project: str, new_job, take):
    with database.scope(project) as scope:
        new_job(scope)
    for died in range(4):
        claim = take()
        assert claim is not None and claim.attempts == died
        die(database)


@pytest.mark.parametrize(("said", "left"), [(None, 0), (2, 2)])
def test_an_orderly_end_gives_it_back(database: Database, project: str, new_job, take, said, left):
    with database.scope(project) as scope:
        new_job(scope)
    claim = take()
    with database.system() as system:
        assert work.release(system, claim, attempts=said)
    assert take().attempts == left


def test_other_kinds_spend_nothing(database: Database, project: str, new_job):
    with database.scope(project) as scope:
        new_job(scope)
    for _ in range(2):
        with database.system() as system:
            claim = work.claim(system, "w", ["validate"], lease_seconds=600, spending={"batch"})
        assert claim is not None and claim.attempts == 0
        die(database)


def test_while_one_is_suspected_only_fresh_work_is_taken(database: Database, project: str, new_job, take):
    with database.scope(project) as scope:
        first, second = new_job(scope).id, new_job(scope).id
    assert take().subject == first
    die(database)
    fresh = take(fresh={"validate"})
    assert fresh is not None and fresh.subject == second
    assert take(fresh={"validate"}) is None and take().subject == first


def test_who_comes_further_is_forgiven(database: Database, project: str, new_batch, take):
    with database.scope(project) as scope:
        batch = new_batch(scope).id
    for _ in range(3):
        claim = take("batch")
        die(database)
    claim = take("batch")
    assert claim.attempts == 3
    with database.scope(project) as scope:
        answered = Result(1, BatchResult(id="batch_req_1", custom_id="a", response=None))
        batches.add_results(scope, batch, [answered], fence=claim.fence)
    die(database)
    assert take("batch").attempts == 1
