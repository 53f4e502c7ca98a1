"""Pauses that grow, up to a minute."""

import pytest

from afina.store import work
from afina.worker import attempts
from afina.worker.context import Hold


@pytest.mark.parametrize(("failed", "seconds"), [(0, 0), (1, 1), (2, 2), (3, 4), (7, 60), (10_000, 60)])
def test_the_pause_behind_a_failure(failed, seconds):
    assert attempts.pause_after(failed) == seconds


def test_work_that_failed_waits_and_is_counted(rooms, context):
    rooms.submit()
    claim = rooms.claim()
    attempts.put_back(context, Hold(claim), failed=2)
    assert rooms.claim() is None
    rooms.at_once()
    again = rooms.claim()
    assert (again.subject, again.attempts, again.fence) == (claim.subject, 2, claim.fence + 1)


def test_work_that_is_put_down_can_be_taken_up_at_once_and_its_count_stays(rooms, context):
    rooms.submit()
    attempts.put_back(context, Hold(rooms.claim()), failed=1)
    rooms.at_once()
    attempts.put_down(context, Hold(rooms.claim()))
    assert rooms.claim().attempts == 1


def test_who_lost_the_work_does_not_put_it_back(rooms, context):
    job = rooms.submit()
    first = rooms.claim()
    rooms.expire(job.id)
    second = rooms.claim(owner="other")
    attempts.put_back(context, Hold(first), failed=9)
    assert rooms.attempts(job.id) == 0
    with rooms.database.system() as system:
        assert work.renew(system, second, 30)
