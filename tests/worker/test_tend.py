"""Hosts that somebody waits for are started; those that do not start rest for a while."""

import pytest

from afina.schemas.models import Model
from afina.store import hosts as host_rows
from afina.store import models
from afina.worker import tend
from afina.worker.executors import HostLost


@pytest.fixture
def want(rooms):
    def wanted(base: str) -> None:
        with rooms.database.system() as system:
            host_rows.want(system, base)

    return wanted


@pytest.fixture
def ensured(context, monkeypatch) -> list[str]:
    found: list[str] = []
    monkeypatch.setattr(context.hosts, "ensure", lambda base, source: found.append(base))
    return found


def test_a_base_that_somebody_waits_for_is_started(context, want, ensured, until):
    between = tend.between_claims(context)
    between()
    assert ensured == []
    want("tiny")
    between()
    until(lambda: ensured == ["tiny"])


def test_a_host_that_does_not_start_rests_before_it_is_tried_again(context, want, until, monkeypatch):
    tries = []

    def lost(base, source):
        tries.append(base)
        raise HostLost("no memory")

    monkeypatch.setattr(context.hosts, "ensure", lost)
    between = tend.between_claims(context)
    want("tiny")
    between()
    until(lambda: tries == ["tiny"])
    for _ in range(5):
        between()
    assert tries == ["tiny"]


def test_a_wish_for_a_base_that_is_not_there_harms_nobody(context, want, ensured, until):
    between = tend.between_claims(context)
    want("nobody")
    between()
    assert ensured == []
    want("tiny")
    between()
    until(lambda: ensured == ["tiny"])


def test_the_host_of_a_model_that_was_deleted_is_ended(context, rooms, until, monkeypatch):
    ended: list[str] = []
    monkeypatch.setattr(context.hosts, "end", lambda base, idle_seconds: ended.append(base))
    between = tend.between_claims(context)
    name = "ft:tiny:personal::whole000"
    with rooms.database.scope(rooms.project) as scope:
        models.insert(scope, Model(id=name, created=1, owned_by="personal", kind="tuned", base=name, key="k"))
    with rooms.database.system() as system:
        host_rows.ready(system, name, context.hosts.owner, address="unix:/a")
    between()
    assert ended == []
    with rooms.database.scope(rooms.project) as scope:
        models.delete(scope, name)
    between()
    until(lambda: ended == [name])
