"""A batch from its file to its files: what is answered once, and every way to end."""

import json
import threading
from collections.abc import Iterator
from itertools import islice

import pytest
from sqlalchemy import text

from afina.errors import FenceLost, InvalidRequest, NotFound, Unavailable
from afina.schemas.batches import Batch
from afina.store import batches, files
from afina.worker import batch_requests, crew
from afina.worker import batches as batch_work
from afina.worker.batch_input import Numbered
from afina.worker.context import Context, Hold
from batch_lines import counts, line, lines


def test_all_is_answered_and_told_in_order(endpoint, submit, look, work_on, read):
    batch = submit(lines(30))
    work_on(batch)
    done = look(batch)
    assert (done.status, counts(done), done.model) == ("completed", (30, 30, 0), "tiny")
    assert done.error_file_id is None and done.errors is None
    assert (done.usage.input_tokens, done.usage.output_tokens, done.usage.total_tokens) == (90, 60, 150)
    rows = read(done.output_file_id)
    assert [row["custom_id"] for row in rows] == [f"r{number}" for number in range(30)]
    first = rows[0]
    assert first["id"].startswith("batch_req_") and first["error"] is None
    assert first["response"]["status_code"] == 200 and first["response"]["request_id"].startswith("req_")
    assert first["response"]["body"]["text"] == "r0"
    moments = (done.created_at, done.in_progress_at, done.finalizing_at, done.completed_at)
    assert list(moments) == sorted(moments)
    assert 1 < endpoint.most_at_once <= batch_requests.AT_ONCE


def test_what_is_refused_goes_to_the_error_file(endpoint, submit, look, work_on, read):
    endpoint.errors = {
        "r1": [NotFound("no such model", param="model", code="model_not_found")],
        "r3": [InvalidRequest("too long", param="messages")],
        "r4": [RuntimeError("a fault of ours")],
    }
    batch = submit(lines(6))
    work_on(batch)
    done = look(batch)
    assert (done.status, counts(done)) == ("completed", (6, 3, 3))
    assert [row["custom_id"] for row in read(done.output_file_id)] == ["r0", "r2", "r5"]
    bad = read(done.error_file_id)
    found = [(row["custom_id"], row["response"]["status_code"], row["error"]) for row in bad]
    assert found == [("r1", 404, None), ("r3", 400, None), ("r4", 500, None)]
    assert bad[0]["response"]["body"]["error"]["code"] == "model_not_found"
    assert "fault" not in json.dumps(bad[2])


def test_all_refused_leaves_an_error_file_alone(endpoint, submit, look, work_on, read):
    endpoint.errors = {"r0": [InvalidRequest("no")]}
    batch = submit(lines(1))
    work_on(batch)
    done = look(batch)
    assert (done.status, done.output_file_id, len(read(done.error_file_id))) == ("completed", None, 1)


def test_what_cannot_be_answered_now_is_asked_again(endpoint, submit, look, work_on, read):
    away = [Unavailable("loading", retry_after=None) for _ in range(5)]
    endpoint.errors = {"r0": away[:2], "r1": away[2:]}
    batch = submit(lines(2))
    work_on(batch)
    done = look(batch)
    assert counts(done) == (2, 1, 1)
    assert endpoint.asked.count("r0") == endpoint.asked.count("r1") == 3
    assert read(done.error_file_id)[0]["response"]["status_code"] == 503


def test_a_worker_that_ends_puts_the_batch_down_and_the_next_goes_on(
    rooms, endpoint, submit, look, read, new_worker, until
):
    endpoint.closed_from = 10
    batch = submit(lines(20))
    with new_worker("first"):
        until(lambda: look(batch).request_counts.completed == 10)
    assert look(batch).status == "in_progress"
    before = set(endpoint.asked[:10])
    endpoint.open.set()
    with new_worker("second"):
        until(lambda: look(batch).status == "completed")
    assert counts(look(batch)) == (20, 20, 0)
    assert before.isdisjoint(endpoint.asked[10 + batch_requests.AT_ONCE :])
    assert len(read(look(batch).output_file_id)) == 20


def test_a_claim_that_is_lost_writes_nothing_more(rooms, endpoint, submit, look, work_on, context, until):
    endpoint.closed_from = 4
    batch = submit(lines(8))
    claim = rooms.claim("batch")
    refused: list[FenceLost] = []

    def work() -> None:
        try:
            batch_work.work_through(context, Hold(claim))
        except FenceLost as error:
            refused.append(error)

    first = threading.Thread(target=work)
    first.start()
    until(lambda: look(batch).request_counts.completed == 4)
    rooms.expire(batch.id)
    endpoint.open.set()
    work_on(batch)
    first.join(60)
    assert len(refused) == 1
    assert (look(batch).status, counts(look(batch))) == ("completed", (8, 8, 0))


def cancel(rooms, batch: Batch) -> Batch:
    with rooms.database.scope(rooms.project) as scope:
        return batches.cancel(scope, batch.id)


def test_a_batch_that_is_cancelled_keeps_what_was_answered(
    rooms, endpoint, submit, look, read, new_worker, until
):
    endpoint.closed_from = 5
    batch = submit(lines(20))
    with new_worker():
        until(lambda: look(batch).request_counts.completed == 5)
        assert cancel(rooms, batch).status == "cancelling"
        until(lambda: look(batch).status == "cancelled")
    done = look(batch)
    assert counts(done) == (20, 5, 0) and done.cancelled_at >= done.cancelling_at
    assert len(read(done.output_file_id)) == 5 and done.error_file_id is None
    assert cancel(rooms, batch).status == "cancelled"


def test_a_batch_that_is_cancelled_before_it_began_is_never_read(rooms, endpoint, submit, look, work_on):
    batch = submit(lines(3))
    cancel(rooms, batch)
    work_on(batch)
    assert look(batch).status == "cancelled" and endpoint.asked == []


def test_a_batch_that_has_ended_is_not_cancelled(rooms, endpoint, submit, work_on):
    batch = submit(lines(1))
    work_on(batch)
    with pytest.raises(InvalidRequest, match="Cannot cancel a batch with status 'completed'"):
        cancel(rooms, batch)


def test_a_day_later_the_rest_is_expired(rooms, endpoint, submit, look, read, new_worker, until):
    endpoint.closed_from = 3
    batch = submit(lines(6))
    with new_worker():
        until(lambda: look(batch).request_counts.completed == 3)
        with rooms.database.system() as system:
            system.connection.execute(text("UPDATE batches SET expires_at = 1"))
        until(lambda: look(batch).status == "expired")
    done = look(batch)
    assert counts(done) == (6, 3, 3) and done.expired_at is not None
    assert len(read(done.output_file_id)) == 3
    late = read(done.error_file_id)
    assert len(late) == 3 and all(row["response"] is None for row in late)
    assert {row["error"]["code"] for row in late} == {"batch_expired"}


def test_the_output_goes_when_its_time_is_over(rooms, endpoint, submit, look, work_on):
    batch = submit(lines(1), output_expires_after=3600)
    work_on(batch)
    with rooms.database.read(rooms.project) as scope:
        file = files.get(scope, look(batch).output_file_id or "")
    assert file.expires_at == file.created_at + 3600
    assert file.filename == f"{batch.id}_output.jsonl"


def test_the_input_file_stays_until_the_end(rooms, endpoint, submit, work_on):
    batch = submit(lines(1))
    with (
        rooms.database.scope(rooms.project) as scope,
        pytest.raises(InvalidRequest, match="in use by the batch"),
    ):
        files.delete(scope, batch.input_file_id)
    work_on(batch)
    with rooms.database.scope(rooms.project) as scope:
        files.delete(scope, batch.input_file_id)


def test_work_that_breaks_again_and_again_fails_the_batch(rooms, submit, look, context):
    batch = submit(lines(1))
    batch_work.give_up(context, Hold(rooms.claim("batch")))
    done = look(batch)
    assert done.status == "failed" and done.errors.data[0].code == "server_error"
    assert rooms.attempts(batch.id) is None


def test_its_end_is_told_to_webhooks(rooms, endpoint, submit, work_on):
    batch = submit(lines(1))
    work_on(batch)
    with rooms.database.system(read=True) as system:
        query = text("SELECT type FROM outbox WHERE subject = :id")
        assert list(system.connection.execute(query, {"id": batch.id}).scalars()) == ["batch.completed"]


def test_a_real_chat_is_answered(fake_engine, submit, look, read, new_worker, until):
    def chat(name: str, **fields: object) -> bytes:
        body = {"model": "tiny", "max_tokens": 5, "messages": [{"role": "user", "content": "Hi"}]}
        return line(name, body=body | fields)

    content = chat("good") + chat("bad", model="nobody", messages=[]) + chat("streamed", stream=True)
    batch = submit(content)
    with new_worker():
        until(lambda: look(batch).status == "completed")
    done = look(batch)
    assert counts(done) == (3, 1, 2)
    (good,) = read(done.output_file_id)
    body = good["response"]["body"]
    assert body["object"] == "chat.completion" and body["usage"]["completion_tokens"] <= 5
    assert done.usage.total_tokens == body["usage"]["total_tokens"]
    bad = {row["custom_id"]: row["response"]["body"]["error"] for row in read(done.error_file_id)}
    assert bad["streamed"]["param"] == "stream" and set(bad) == {"bad", "streamed"}


def test_what_was_answered_is_kept_when_the_work_breaks(rooms, endpoint, submit, context, monkeypatch):
    monkeypatch.setattr(crew, "LOOK_SECONDS", 60)

    def breaking(context: Context, batch: Batch) -> Iterator[Numbered]:
        yield from islice(open_requests(context, batch), 3)
        raise OSError("the disk is gone")

    open_requests = batch_work.open_requests
    monkeypatch.setattr(batch_work, "open_requests", breaking)
    batch = submit(lines(8))
    with pytest.raises(OSError):
        batch_work.work_through(context, Hold(rooms.claim("batch")))
    with rooms.database.read(rooms.project) as scope:
        kept = batches.answered(scope, batch.id)
    assert kept and kept == {int(name[1:]) + 1 for name in endpoint.asked[: len(kept)]}
