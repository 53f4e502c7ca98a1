"""An event on its way to the endpoints that asked for it: signed, again until it is taken, and never elsewhere."""

import json
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import openai
import pytest
from openai import InvalidWebhookSignatureError
from sqlalchemy import text

from afina import deliveries
from afina.store import outbox, webhooks
from afina.worker import webhooks as sender
from afina.worker.context import Context, Hold


@dataclass
class Receiver:
    """An endpoint that answers what it is told to, and keeps what it got."""

    port: int = 0
    answers: list[int] = field(default_factory=list)
    got: list[tuple[dict[str, str], bytes]] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/hooks?a=b"


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    made = Receiver()

    class Endpoint(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            made.got.append(({name.lower(): value for name, value in self.headers.items()}, body))
            self.send_response(made.answers.pop(0) if made.answers else 200)
            self.send_header("location", f"http://127.0.0.1:{made.port}/elsewhere")
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            """Nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Endpoint)
    made.port = server.server_port
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield made
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture
def ours(context: Context, receiver: Receiver) -> Context:
    """A worker whose operator lists the receiver."""
    return replace(context, settings=replace(context.settings, webhook_hosts=f"127.0.0.1:{receiver.port}"))


@pytest.fixture
def endpoint(rooms, receiver: Receiver) -> Callable[..., str]:
    def make(
        types=("fine_tuning.job.cancelled",), url: str = "", secret: str = deliveries.new_secret()
    ) -> str:
        with rooms.database.scope(rooms.project) as scope:
            return webhooks.insert(
                scope,
                name="hook",
                url=url or receiver.url,
                event_types=list(types),
                secret=secret,
                actor="key",
            ).id

    return make


def deliver(rooms, context: Context) -> bool:
    claim = rooms.claim(outbox.KIND)
    if claim is not None:
        sender.deliver(context, Hold(claim))
    return claim is not None


def undelivered(rooms) -> list[str]:
    with rooms.database.system(read=True) as system:
        return [event.type for event in outbox.waiting(system)]


def test_the_end_of_a_job_reaches_its_endpoint_and_the_client_unwraps_it(rooms, ours, endpoint, receiver):
    secret = deliveries.new_secret()
    endpoint(secret=secret)
    endpoint(types=["fine_tuning.job.succeeded"])  # did not ask for this one
    job = rooms.submit()
    rooms.cancel(job.id)
    assert deliver(rooms, ours) and not deliver(rooms, ours)
    [(headers, body)] = receiver.got
    with openai.OpenAI(api_key="x", webhook_secret=secret) as client:
        event = client.webhooks.unwrap(body, headers)
        with pytest.raises(InvalidWebhookSignatureError):
            client.webhooks.unwrap(body, headers, secret=deliveries.new_secret())
    assert (event.type, event.data.id) == ("fine_tuning.job.cancelled", job.id)
    assert headers["webhook-id"] == event.id
    assert headers["host"] == f"127.0.0.1:{receiver.port}"
    assert undelivered(rooms) == []


@pytest.mark.parametrize("status", [500, 302, 404])
def test_what_is_not_taken_is_sent_again_in_the_same_words(rooms, ours, endpoint, receiver, status):
    endpoint()
    receiver.answers = [status]
    job = rooms.submit()
    rooms.cancel(job.id)
    assert deliver(rooms, ours)
    assert len(receiver.got) == 1  # no redirect is followed
    assert not deliver(rooms, ours)  # its time has not come
    assert undelivered(rooms) == ["fine_tuning.job.cancelled"]
    rooms.at_once()
    assert deliver(rooms, ours)
    (first, first_body), (second, second_body) = receiver.got
    assert (first["webhook-id"], first_body) == (second["webhook-id"], second_body)
    assert undelivered(rooms) == []


def test_two_endpoints_are_told_apart_and_a_deleted_one_not_at_all(rooms, ours, endpoint, receiver):
    kept, gone = endpoint(), endpoint()
    receiver.answers = [500]
    job = rooms.submit()
    rooms.cancel(job.id)
    with rooms.database.scope(rooms.project) as scope:
        webhooks.delete(scope, gone, actor="key")
    assert deliver(rooms, ours) and deliver(rooms, ours)
    assert len(receiver.got) == 1
    assert undelivered(rooms) == ["fine_tuning.job.cancelled"]  # the one that is kept has not taken it
    rooms.at_once()
    assert deliver(rooms, ours)
    assert undelivered(rooms) == []
    assert kept


def test_who_is_gone_or_silent_for_three_days_is_given_up(rooms, ours, endpoint, receiver):
    endpoint()
    receiver.answers = [410]
    job = rooms.submit()
    rooms.cancel(job.id)
    assert deliver(rooms, ours)
    assert undelivered(rooms) == []
    pauses = [sender.pause_after(failed) for failed in range(1, sender.MOST)]
    assert pauses[:3] == [5, 15, 45]
    assert 2.5 * 86_400 < sum(pauses) < 3.5 * 86_400


def test_a_worker_delivers_beside_its_jobs(rooms, ours, endpoint, receiver, new_worker, until, fake_engine):
    endpoint(types=["fine_tuning.job.succeeded"])
    worker = new_worker()
    worker.loop.context = worker.context = replace(worker.context, settings=ours.settings)
    job = rooms.submit(n_epochs=1)
    with worker:
        until(lambda: receiver.got)
        until(lambda: undelivered(rooms) == [])
    assert json.loads(receiver.got[0][1])["data"] == {"id": job.id}
    assert rooms.job(job.id).status == "succeeded"


def test_a_private_address_is_not_called_though_its_row_is_there(rooms, context, endpoint, receiver):
    endpoint()
    job = rooms.submit()
    rooms.cancel(job.id)
    assert deliver(rooms, context)  # the default policy
    assert receiver.got == []
    query = text("SELECT attempts FROM work WHERE kind = 'webhook'")
    with rooms.database.system(read=True) as system:
        assert system.connection.execute(query).scalar_one() == 1
