"""Input files that cannot be answered: what is wrong with them, by line."""

import pytest

from afina.worker import batch_input
from batch_lines import counts, line, lines


@pytest.mark.parametrize(
    ("content", "code", "param", "number"),
    [
        (line("a") + b"{", "invalid_json_line", None, 2),
        (b"[1]\n", "invalid_json_line", None, 1),
        (line("a") + b"\n" + line("b"), "invalid_json_line", None, 2),
        (line("a") + line("a"), "duplicate_custom_id", "custom_id", 2),
        (line("a", method="GET"), "invalid_value", "method", 1),
        (line("a", url="/v1/embeddings"), "mismatched_endpoint", "url", 1),
        (line("a", body="text"), "invalid_type", "body", 1),
        (line(""), "invalid_value", "custom_id", 1),
        (line("a" * 513), "invalid_value", "custom_id", 1),
        (line("a", more=1), "unknown_parameter", "more", 1),
        (b'{"method": "POST"}\n', "missing_required_parameter", "custom_id", 1),
        (b"\n\n", "empty_file", None, None),
        (b"PK\x03\x04", "invalid_json_line", None, 1),
    ],
)
def test_a_file_that_cannot_be_answered(
    endpoint, submit, look, work_on, content: bytes, code: str, param: str | None, number: int | None
):
    batch = submit(content)
    work_on(batch)
    done = look(batch)
    assert done.status == "failed" and done.failed_at is not None and done.errors is not None
    first = done.errors.data[0]
    assert (first.code, first.param, first.line) == (code, param, number)
    assert endpoint.asked == [] and counts(done) == (0, 0, 0)


def test_a_file_with_too_many_requests(endpoint, submit, look, work_on, monkeypatch):
    monkeypatch.setattr(batch_input, "MAX_REQUESTS", 3)
    batch = submit(lines(4))
    work_on(batch)
    assert look(batch).errors.data[0].code == "too_many_requests"


def test_a_file_that_is_too_large_is_not_read(endpoint, submit, look, work_on, monkeypatch):
    monkeypatch.setattr(batch_input, "MAX_BYTES", 100)
    batch = submit(lines(4))
    work_on(batch)
    assert look(batch).errors.data[0].code == "file_too_large"


def test_a_file_whose_bytes_have_changed(rooms, endpoint, submit, look, work_on):
    batch = submit(lines(4))
    rooms.blobs.path(f"files/{batch.input_file_id}").write_bytes(lines(5))
    work_on(batch)
    assert look(batch).errors.data[0].code == "file_corrupt"


def test_only_so_many_errors_are_told(endpoint, submit, look, work_on):
    batch = submit(b"[]\n" * 100)
    work_on(batch)
    assert len(look(batch).errors.data) == batch_input.TOLD
