"""An archived project is one in which nothing goes on."""

import pytest
from sqlalchemy import select

from afina.errors import InvalidRequest, NoSuchProject
from afina.store import archiving, batches, jobs, responses, work
from afina.store.database import Database
from afina.store.scope import Scope
from afina.store.tables import audit
from afina.store.tables import work as queue


def test_all_that_goes_on_ends(database: Database, other: str, new_job, new_batch, stored):
    with database.scope(other) as scope:
        organization = scope.organization_id
        job, done = new_job(scope), new_job(scope)
        waiting, asked, closing = (new_batch(scope) for _ in range(3))
        batches.move(scope, asked.id, "in_progress", fence=None)
        batches.move(scope, closing.id, "in_progress", fence=None)
        batches.move(scope, closing.id, "finalizing", fence=None)
        kept = stored("resp_1", status="queued")
        behind = kept.response.model_copy(update={"background": True})
        responses.insert(scope, kept.model_copy(update={"response": behind}))
        work.enqueue(scope, "resp_1", "respond")
        work.enqueue(scope, f"{job.id}/wandb/0", "wandb")
    with database.system() as system:
        claim = work.claim(system, "w", ["validate"], lease_seconds=60)
    assert claim is not None and claim.subject == job.id
    with database.scope(other) as scope:
        archiving.archive(scope, actor="key_1")
    with pytest.raises(NoSuchProject), database.scope(other):
        pass
    with database.system() as system:
        assert system.connection.execute(select(queue.c.subject)).first() is None
        assert not work.renew(system, claim, 60)
        scope = Scope(system.connection, other, organization)
        assert {jobs.get(scope, one.id).status for one in (job, done)} == {"cancelled"}
        ends = [batches.get(scope, one.id).status for one in (waiting, asked, closing)]
        assert ends == ["cancelled", "cancelled", "failed"]
        assert responses.get(scope, "resp_1").response.status == "cancelled"
        actors = system.connection.execute(select(audit.c.actor).where(audit.c.action == "project.archived"))
        assert actors.scalars().all() == ["key_1"]


def test_the_first_project_stays(database: Database, project: str, new_job):
    with database.scope(project) as scope:
        job = new_job(scope)
        with pytest.raises(InvalidRequest, match="first project"):
            archiving.archive(scope, actor="a")
        assert jobs.get(scope, job.id).status == "validating_files"


def test_another_projects_work_goes_on(database: Database, project: str, other: str, new_job):
    with database.scope(project) as scope:
        job = new_job(scope)
    with database.scope(other) as scope:
        archiving.archive(scope, actor="a")
    with database.system() as system:
        claim = work.claim(system, "w", ["validate"], lease_seconds=60)
    assert claim is not None and claim.subject == job.id
