"""A project that is archived while its job runs: the run stops, and nobody goes on with it."""

from dataclasses import replace

from afina.store import archiving, projects


def test_a_run_ends_with_its_project(rooms, new_worker, fake_engine, gate, hosts, until, caplog):
    with rooms.database.system() as system:
        organization = projects.every(system)[0].organization_id
        ward = projects.create(system, organization, "Ward").id
    there = replace(rooms, project=ward)
    gate.closed_from = 2
    job = there.submit(n_epochs=5, batch_size=2)
    with new_worker() as worker:
        until(lambda: there.steps(job.id))
        with rooms.database.scope(ward) as scope:
            archiving.archive(scope, actor="key")
        until(lambda: not worker.loop.holds)
        assert [host for host in hosts if host.has_run(f"{job.id}.1")] == []
        assert rooms.attempts(job.id) is None
    assert "work broke" not in caplog.text
