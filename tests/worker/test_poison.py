"""Work that ends its worker, again and again, ends itself."""

import pytest

from afina.store import work
from afina.worker.__main__ import kinds


@pytest.fixture
def deadly(rooms):
    """A job whose check has ended so many workers."""

    def make(deaths: int) -> str:
        job = rooms.submit()
        fatal = {name for name, kind in kinds(rooms.settings).items() if kind.fatal}
        for number in range(deaths):
            with rooms.database.system() as system:
                owner = f"dead-{number}"
                assert work.claim(system, owner, ["validate"], lease_seconds=600, spending=fatal)
                work.release_owner(system, owner)
        return job.id

    return make


def test_after_three_workers_the_job_fails(rooms, deadly, new_worker, until):
    job = deadly(3)
    with new_worker():
        until(lambda: rooms.job(job).status == "failed")
    assert rooms.job(job).error.code == "server_error" and rooms.attempts(job) is None


def test_after_two_it_is_tried_once_more(rooms, deadly, new_worker, fake_engine, until):
    job = deadly(2)
    with new_worker():
        until(lambda: rooms.job(job).finished_at is not None)
    assert rooms.job(job).status == "succeeded"


def test_what_users_send_is_read_by_work_that_spends(rooms):
    found = {name for name, kind in kinds(rooms.settings).items() if kind.fatal}
    assert found >= {"validate", "batch", "respond", "eval_run"} and not found & {"train", "webhook", "wandb"}
