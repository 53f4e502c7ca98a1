"""A job's figures on Weights & Biases, played by a small server; whether it answers or not, training goes on."""

import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from afina.store import events, moves, work
from afina.store.events import NewEvent
from afina.worker import wandb
from afina.worker.context import Hold

WANTED = [{"type": "wandb", "wandb": {"project": "ward 7", "name": "night", "tags": ["mine"]}}]


@dataclass
class Played:
    """What W&B was told; with `down` it answers 500."""

    url: str = ""
    down: bool = False
    asked: list[tuple[str, dict]] = field(default_factory=list)

    @property
    def lines(self) -> list[dict]:
        """The history as the offsets put it together."""
        found: dict[int, str] = {}
        for _, body in self.asked:
            for file in body.get("files", {}).values():
                found |= {file["offset"] + place: line for place, line in enumerate(file["content"])}
        return [json.loads(found[place]) for place in sorted(found)]


@pytest.fixture
def played() -> Iterator[Played]:
    made = Played()

    class Answers(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["content-length"])))
            assert self.headers["authorization"].startswith("Basic ")
            made.asked.append((self.path, body))
            project = {"name": "ward 7", "entity": {"name": "clinic"}}
            reply = {"data": {"upsertBucket": {"bucket": {"name": "x", "project": project}}}}
            data = json.dumps(reply).encode()
            self.send_response(500 if made.down else 200)
            self.send_header("content-length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, format: str, *args: object) -> None:
            """Nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Answers)
    made.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield made
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture
def ours(context, played, monkeypatch):
    """A worker whose operator has a key."""
    monkeypatch.setattr(wandb, "LOOK_SECONDS", 0.01)
    settings = replace(context.settings, wandb_api_key="secret", wandb_base_url=played.url)
    return replace(context, settings=settings)


@pytest.fixture
def claimed(rooms):
    """A job with figures, and the claim of the work that reports them."""

    def make(steps: int = 3) -> tuple[str, Hold]:
        job = rooms.submit(integrations=WANTED)
        with rooms.database.scope(rooms.project) as scope:
            work.enqueue(scope, f"{job.id}/wandb/0", "wandb")
            figures = [
                NewEvent("s", data={"step": n, "train_loss": 1 / n}, step=n) for n in range(1, steps + 1)
            ]
            events.append(scope, job.id, figures, fence=None)
        claim = rooms.claim("wandb")
        assert claim is not None
        return job.id, Hold(claim)

    return make


def test_the_run_has_the_figures_the_names_and_the_tags(rooms, ours, claimed, played):
    job, hold = claimed()
    rooms.cancel(job)
    wandb.report(ours, hold)
    path, body = played.asked[0]
    assert path == "/graphql"
    assert body["variables"]["project"] == "ward 7"
    assert (body["variables"]["name"], body["variables"]["displayName"]) == (job, "night")
    assert body["variables"]["tags"] == ["mine", "openai/finetune", "openai/tiny", f"openai/{job}"]
    assert played.asked[1][0] == f"/files/clinic/ward%207/{job}/file_stream"
    assert [(line["_step"], line["train_loss"]) for line in played.lines] == [(1, 1.0), (2, 0.5), (3, 1 / 3)]
    assert played.asked[-1][1]["complete"] is True
    assert played.asked[-1][1]["exitcode"] == 1
    assert rooms.attempts(hold.claim.subject) is None


def test_figures_that_come_later_are_sent_once(rooms, ours, claimed, played, until):
    job, hold = claimed()
    thread = threading.Thread(target=wandb.report, args=(ours, hold))
    thread.start()
    until(lambda: len(played.lines) == 3)
    with rooms.database.scope(rooms.project) as scope:
        events.append(scope, job, [NewEvent("s", data={"step": 4}, step=4)], fence=None)
    until(lambda: len(played.lines) == 4)
    rooms.cancel(job)
    thread.join(30)
    sent = [
        line
        for _, body in played.asked
        for line in body.get("files", {}).get(wandb.HISTORY, {}).get("content", [])
    ]
    assert [json.loads(line)["step"] for line in sent] == [1, 2, 3, 4]


def test_what_is_not_taken_is_tried_again_later_and_then_given_up(rooms, ours, claimed, played):
    job, hold = claimed()
    played.down = True
    wandb.report(ours, hold)
    assert rooms.attempts(hold.claim.subject) == 1
    rooms.at_once()
    claim = rooms.claim("wandb")
    wandb.give_up(ours, Hold(claim))
    assert rooms.attempts(claim.subject) is None
    assert rooms.said(job)[-1].startswith("Weights & Biases did not take the figures")
    assert rooms.job(job).status == "validating_files"  # the job itself has noticed nothing


def test_training_ends_well_while_nobody_listens(rooms, ours, new_worker, until, fake_engine):
    worker = new_worker()
    settings = replace(ours.settings, wandb_base_url="http://127.0.0.1:9")
    worker.loop.context = worker.context = replace(worker.context, settings=settings)
    job = rooms.submit(integrations=WANTED, n_epochs=1)
    with rooms.database.scope(rooms.project) as scope:
        work.enqueue(scope, f"{job.id}/wandb/0", "wandb")
    with worker:
        until(lambda: rooms.job(job.id).status == "succeeded")
        until(lambda: rooms.attempts(f"{job.id}/wandb/0"))
    assert rooms.job(job.id).fine_tuned_model is not None


def test_a_paused_job_holds_no_slot(rooms, ours, claimed, played, until):
    job, hold = claimed()
    with rooms.database.scope(rooms.project) as scope:
        moves.move(scope, job, "queued", fence=None, event="e")
        moves.move(scope, job, "running", fence=None, event="e")
    thread = threading.Thread(target=wandb.report, args=(ours, hold))
    thread.start()
    until(lambda: len(played.lines) == 3)
    with rooms.database.scope(rooms.project) as scope:
        moves.move(scope, job, "paused", fence=None, event="e")
    thread.join(30)
    assert not thread.is_alive() and rooms.attempts(hold.claim.subject) == 0
    rooms.at_once()
    again, sent = Hold(rooms.claim("wandb")), len(played.asked)
    wandb.report(ours, again)
    assert len(played.asked) == sent and rooms.claim("wandb") is None
    rooms.resume(job)
    rooms.cancel(job)
    rooms.at_once()
    wandb.report(ours, Hold(rooms.claim("wandb")))
    assert len(played.lines) == 3 and played.asked[-1][1]["complete"] is True
