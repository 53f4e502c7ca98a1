"""Jobs cancelled, paused and resumed by their users."""

from collections.abc import Callable

import openai
import pytest
from fastapi.testclient import TestClient

from afina.store import jobs, moves
from afina.store.database import Database

JOBS = "/v1/fine_tuning/jobs"
KEY = "sk-owner"
ROW = b'{"messages": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello."}]}\n'


@pytest.mark.parametrize(("status", "words"), [("succeeded", "completed"), ("failed", "failed")])
def test_what_has_ended_cannot_be_cancelled(
    client: TestClient, create: Callable[..., dict], database: Database, project: str, status: str, words: str
):
    job = create()["id"]
    with database.scope(project) as scope:
        if status == "succeeded":
            moves.move(scope, job, "queued", fence=None, event="queued")
            moves.move(scope, job, "running", fence=None, event="running")
        done = {"fine_tuned_model": "ft:x"} if status == "succeeded" else None
        moves.move(scope, job, status, fence=None, event="ended", changes=done)  # type: ignore[arg-type]
    reply = client.post(f"{JOBS}/{job}/cancel")
    assert (reply.status_code, reply.json()["error"]["code"]) == (400, "invalid_state")
    assert reply.json()["error"]["message"] == f"Job has already {words}."


def running(database, project, job_id: str) -> None:
    """As if a worker had begun with the job."""
    with database.scope(project) as scope:
        for status in ("queued", "running"):
            moves.move(scope, job_id, status, fence=None, event=status)


def test_a_job_is_paused_by_its_run_and_resumed(official: openai.OpenAI, upload, database, project):
    job = official.fine_tuning.jobs.create(model="afina-tiny", training_file=upload()["id"])
    for act in (official.fine_tuning.jobs.pause, official.fine_tuning.jobs.resume):
        with pytest.raises(openai.BadRequestError) as refused:
            act(job.id)
        assert refused.value.code == "invalid_state"
    running(database, project, job.id)
    assert official.fine_tuning.jobs.pause(job.id).status == "running"  # until its run has stopped
    assert official.fine_tuning.jobs.pause(job.id).status == "running"
    said = [event.message for event in official.fine_tuning.jobs.list_events(job.id)]
    assert said.count("Pausing the job after its next step") == 1
    assert official.fine_tuning.jobs.resume(job.id).status == "running"  # taken back in time
    official.fine_tuning.jobs.pause(job.id)
    with database.scope(project) as scope:
        assert jobs.get(scope, job.id).wanted == "paused"
        moves.move(scope, job.id, "paused", fence=None, event="paused")
    again = official.fine_tuning.jobs.with_raw_response.pause(
        job.id
    )  # `paused` is in the guide, not in the type
    assert again.http_response.json()["status"] == "paused"
    assert official.fine_tuning.jobs.resume(job.id).status == "queued"
    with pytest.raises(openai.BadRequestError):
        official.fine_tuning.jobs.resume(job.id)
    official.fine_tuning.jobs.cancel(job.id)
    for act in (official.fine_tuning.jobs.pause, official.fine_tuning.jobs.resume):
        with pytest.raises(openai.BadRequestError):
            act(job.id)


def test_a_viewer_pauses_nothing(client, new_key, project):
    viewer = {"authorization": f"Bearer {new_key(project, 'viewer')}"}
    for act in ("pause", "resume"):
        assert client.post(f"/v1/fine_tuning/jobs/ftjob-x/{act}", headers=viewer).status_code == 403
        assert client.post(f"/v1/fine_tuning/jobs/ftjob-x/{act}").status_code == 404
