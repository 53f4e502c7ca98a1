"""The rows of uploads and batches, on both databases."""

from collections.abc import Callable

import pytest
from sqlalchemy import text

from afina.errors import FenceLost, IllegalMove, InvalidRequest
from afina.schemas.batches import Batch, BatchReply, BatchResult, RequestCounts
from afina.schemas.models import Model
from afina.schemas.tokens import TokenUsage
from afina.schemas.uploads import UploadPart
from afina.store import audit, batches, files, models, uploads, work
from afina.store.batches import Result
from afina.store.database import Database
from afina.store.scope import Scope
from afina.store.work import Claim


def test_only_what_is_over_expires(
    database: Database, project: str, new_upload: Callable[[Scope], UploadPart]
):
    with database.scope(project) as scope:
        late, early = new_upload(scope), new_upload(scope)
        ended = uploads.cancel(scope, new_upload(scope).upload_id)
    with database.system() as system:
        expire = text("UPDATE uploads SET expires_at = 1 WHERE id IN (:late, :ended)")
        system.connection.execute(expire, {"late": late.upload_id, "ended": ended.id})
        assert [upload.id for upload in uploads.expire(system)] == [late.upload_id]
        assert uploads.expire(system) == []
        assert uploads.open_folders(system) == {f"uploads/{early.upload_id}"}
    with database.read(project) as scope:
        assert uploads.of_upload(scope, late.upload_id) == []
        assert uploads.of_upload(scope, early.upload_id) == [early]


def test_a_file_tells_what_was_trained_on_it(database: Database, project: str, new_job, new_file):
    with database.scope(project) as scope:
        training, validation = new_file(scope), new_file(scope)
        job = new_job(scope, training_file=training.id, validation_file=validation.id)
        new_job(scope)
        for name in ("ft:one", "ft:two"):
            models.insert(scope, Model(id=name, created=1, owned_by="o", kind="tuned", job_id=job.id))
        models.delete(scope, "ft:one")
        found = [files.models_from(scope, file.id) for file in (training, validation, new_file(scope))]
        assert found == [["ft:two"], ["ft:two"], []]


def claimed(database: Database) -> Claim:
    with database.system() as system:
        found = work.claim(system, "w", ["batch"], lease_seconds=3600.0)
    assert found is not None
    return found


def answer(line: int, status: int) -> Result:
    reply = BatchReply(status_code=status, request_id="req_1", body={"text": "snow \u2603 \0"})
    usage = TokenUsage(input_tokens=2, output_tokens=1, total_tokens=3)
    return Result(line, BatchResult(id="batch_req_1", custom_id=f"r{line}", response=reply), usage)


def test_results_are_counted_and_read_in_order(
    database: Database, project: str, new_batch: Callable[[Scope], Batch]
):
    with database.scope(project) as scope:
        batch = new_batch(scope)
    claim = claimed(database)
    with database.scope(project) as scope:
        batches.move(
            scope,
            batch.id,
            "in_progress",
            fence=claim.fence,
            changes={"request_counts": RequestCounts(total=5)},
        )
        batches.add_results(
            scope, batch.id, [answer(4, 200), answer(2, 200), answer(3, 404)], fence=claim.fence
        )
        found = batches.add_results(scope, batch.id, [answer(1, 200)], fence=claim.fence)
        assert found == batches.get(scope, batch.id)
        counts = found.request_counts
        assert (counts.total, counts.completed, counts.failed, counts.open) == (5, 3, 1, 1)
        assert (found.usage.input_tokens, found.usage.total_tokens) == (8, 12)
        assert batches.answered(scope, batch.id) == {1, 2, 3, 4}
        first = batches.results(scope, batch.id, good=True, limit=2)
        assert [line for line, _ in first] == [1, 2]
        assert [line for line, _ in batches.results(scope, batch.id, good=True, after=2, limit=2)] == [4]
        read = BatchResult.model_validate_json(first[0][1])
        assert read.response is not None and read.response.body == {"text": "snow \u2603 \0"}


def test_a_lower_fence_is_refused(database: Database, project: str, new_batch: Callable[[Scope], Batch]):
    with database.scope(project) as scope:
        batch = new_batch(scope)
    claim = claimed(database)
    for write in (
        lambda scope: batches.add_results(scope, batch.id, [answer(1, 200)], fence=claim.fence - 1),
        lambda scope: batches.move(scope, batch.id, "in_progress", fence=claim.fence - 1),
    ):
        with pytest.raises(FenceLost), database.scope(project) as scope:
            write(scope)


def test_the_end_takes_results_and_work_along(
    database: Database, project: str, new_batch: Callable[[Scope], Batch]
):
    with database.scope(project) as scope:
        batch = new_batch(scope)
    claim = claimed(database)
    with database.scope(project) as scope:
        batches.add_results(scope, batch.id, [answer(1, 200)], fence=claim.fence)
        done = batches.move(scope, batch.id, "failed", fence=claim.fence)
        assert done.failed_at is not None
        assert batches.answered(scope, batch.id) == set()
        assert not work.holds(scope, batch.id, claim.fence)
        told = audit.page(scope, subject=batch.id, ascending=True).data
        assert [entry.action for entry in told] == ["batch.created", "batch.moved"]
        with pytest.raises(IllegalMove):
            batches.move(scope, batch.id, "in_progress", fence=None)
        with pytest.raises(InvalidRequest, match="Cannot cancel a batch with status 'failed'"):
            batches.cancel(scope, batch.id)


def test_a_batch_keeps_its_input_file(database: Database, project: str, new_batch: Callable[[Scope], Batch]):
    with database.scope(project) as scope:
        batch = new_batch(scope)
        scope.connection.execute(text("UPDATE files SET expires_at = 1"))
        with pytest.raises(InvalidRequest, match="in use by the batch"):
            files.delete(scope, batch.input_file_id)
    with database.system() as system:
        assert files.expire(system) == []
    with database.scope(project) as scope:
        batches.move(scope, batch.id, "failed", fence=None)
    with database.system() as system:
        assert [file.id for file in files.expire(system)] == [batch.input_file_id]


def test_a_batch_needs_a_file_of_its_kind(
    database: Database, project: str, new_batch: Callable[[Scope], Batch], new_file
):
    with database.scope(project) as scope:
        batch = new_batch(scope)
        for name, words in ((new_file(scope).id, "purpose 'batch'"), ("file-none", "No such File object")):
            wrong = batch.model_copy(update={"input_file_id": name})
            with pytest.raises(InvalidRequest, match=words) as refused:
                batches.insert(scope, wrong)
            assert refused.value.param == "input_file_id"
