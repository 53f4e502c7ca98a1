"""Jobs, their events and checkpoints, found and paged."""

from collections.abc import Callable

import openai
import pytest
from fastapi.testclient import TestClient

from afina.schemas.fine_tuning import JobCheckpoint
from afina.store import checkpoints, events, work
from afina.store.database import Database
from afina.store.events import NewEvent

JOBS = "/v1/fine_tuning/jobs"
KEY = "sk-owner"
ROW = b'{"messages": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello."}]}\n'


@pytest.mark.parametrize("rest", ["", "/events", "/checkpoints"])
def test_an_unknown_job(client: TestClient, rest: str):
    reply = client.get(f"{JOBS}/ftjob-nothere{rest}")
    assert (
        reply.status_code == 404
        and "Could not find fine tune: ftjob-nothere" in reply.json()["error"]["message"]
    )
    assert client.post(f"{JOBS}/ftjob-nothere/cancel").status_code == 404


def test_events_and_checkpoints_are_paged_newest_first(
    client: TestClient, create: Callable[..., dict], database: Database, project: str
):
    job = create()["id"]
    with database.scope(project) as scope:
        figures = [NewEvent(f"Step {n}", data={"step": n}, step=n) for n in range(1, 31)]
        events.append(scope, job, figures, fence=None)
    with database.system() as system:
        claim = work.claim(system, "me", ["validate"], lease_seconds=60)
    assert claim
    with database.scope(project) as scope:
        for step in range(1, 13):
            point = JobCheckpoint(
                id=f"ftckpt_{step}",
                created_at=1,
                fine_tuned_model_checkpoint=f"ft:x:ckpt-step-{step}",
                fine_tuning_job_id=job,
                step_number=step,
                metrics={"step": step, "train_loss": 0.5},
            )
            checkpoints.insert(scope, point, fence=claim.fence)
    page = client.get(f"{JOBS}/{job}/events").json()
    assert len(page["data"]) == 20 and page["has_more"] and page["data"][0]["message"] == "Step 30"
    rest = client.get(f"{JOBS}/{job}/events?after={page['last_id']}&limit=100").json()
    assert rest["data"][-1]["message"].startswith("Created") and rest["has_more"] is False
    assert client.get(f"{JOBS}/{job}/events?after=string").json()["data"] == []
    points = client.get(f"{JOBS}/{job}/checkpoints").json()
    assert [p["step_number"] for p in points["data"]] == list(range(12, 2, -1)) and points["has_more"]
    for path in ("", f"/{job}/events", f"/{job}/checkpoints"):
        for limit in ("101", "abc", "-1"):
            reply = client.get(f"{JOBS}{path}?limit={limit}")
            assert (reply.status_code, reply.json()["error"]["param"]) == (400, "limit")
        assert len(client.get(f"{JOBS}{path}?limit=0").json()["data"]) == 1


def test_jobs_are_found_by_metadata(client: TestClient, create: Callable[..., dict], official: openai.OpenAI):
    plain, one, two = create(), create(metadata={"a": "1"}), create(metadata={"a": "1", "b": "x'; --"})
    found = official.fine_tuning.jobs.list(metadata={"a": "1"}, limit=1)
    assert [job.id for job in found] == [two["id"], one["id"]]
    assert [job.id for job in official.fine_tuning.jobs.list(metadata={"b": "x'; --"})] == [two["id"]]
    assert [job["id"] for job in client.get(f"{JOBS}?metadata=null").json()["data"]] == [plain["id"]]


def test_a_walk_over_500_jobs_meets_each_once_while_50_arrive(
    official: openai.OpenAI, database: Database, project: str, new_job
):
    def arrive(count: int) -> set[str]:
        with database.scope(project) as scope:
            return {new_job(scope).id for _ in range(count)}

    there, seen = arrive(500), list[str]()
    for job in official.fine_tuning.jobs.list(limit=20):
        seen.append(job.id)
        if len(seen) % 10 == 0:
            arrive(1)
    assert len(seen) == 500 and set(seen) == there
    assert len(list(official.fine_tuning.jobs.list(limit=100))) == 550
