import json
import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from afina.data.examples import rendered
from afina.data.jsonl import read_lines
from afina.data.render import Rendered, Renderer
from afina.data.tokens import TokenFile, TokenStats, write
from afina.errors import CorruptBlob, DataError

A = Rendered([1, 2, 3, 4, 5], [0, 0, 1, 1, 0])
B = Rendered([6, 7], [0, 1])
LATE = Rendered([1, 2, 3, 4], [0, 0, 0, 1])


def test_what_is_written_is_read(tmp_path: Path):
    stats = write(tmp_path / "t", [[A], [B, A]], max_length=10, metadata={"base": "tiny"})
    assert stats == TokenStats(examples=2, rows=3, tokens=12, supervised_tokens=5, truncated=0, longest=5)
    file = TokenFile.open(tmp_path / "t")
    assert len(file) == 3 and file.stats == stats and file.metadata["base"] == "tiny"
    for row, expected in enumerate([A, B, A]):
        ids, weights = file[row]
        assert (ids.dtype, weights.dtype) == (np.int32, np.uint8)
        assert (ids.tolist(), weights.tolist()) == (expected.ids, expected.weights)
    with pytest.raises(IndexError):
        file[3]


def test_rows_are_cut_at_their_end(tmp_path: Path):
    stats = write(tmp_path / "t", [[A], [B]], max_length=3)
    assert stats == TokenStats(examples=2, rows=2, tokens=5, supervised_tokens=2, truncated=1, longest=3)
    assert TokenFile.open(tmp_path / "t")[0][0].tolist() == [1, 2, 3]


def test_an_example_without_any_answer_left_is_refused(tmp_path: Path):
    with pytest.raises(DataError) as refused:
        write(tmp_path / "t", [[A], [LATE]], max_length=3, file="validation")
    assert refused.value.message == (
        "The job failed due to an invalid validation file. Invalid file format. "
        "Example 2: truncation at 3 tokens leaves nothing of the assistant's messages"
    )
    assert (refused.value.line, refused.value.code) == (2, "invalid_validation_file")
    assert list(tmp_path.iterdir()) == []


def test_a_row_of_which_nothing_is_left_is_dropped_beside_others(tmp_path: Path):
    stats = write(tmp_path / "t", [[B, LATE]], max_length=3)
    assert stats == TokenStats(examples=1, rows=1, tokens=2, supervised_tokens=1, truncated=1, longest=2)


def test_no_examples(tmp_path: Path):
    assert write(tmp_path / "t", [], max_length=3).rows == len(TokenFile.open(tmp_path / "t")) == 0


def test_an_old_file_stays_when_writing_fails(tmp_path: Path):
    write(tmp_path / "t", [[A]], max_length=10)
    with pytest.raises(DataError):
        write(tmp_path / "t", [[LATE]], max_length=1)
    assert len(TokenFile.open(tmp_path / "t")) == 1


def test_nothing_partial_is_left_when_the_disk_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def fails(_: int) -> None:
        raise OSError("disk")

    monkeypatch.setattr(os, "fsync", fails)
    with pytest.raises(OSError, match="disk"):
        write(tmp_path / "t", [[A]], max_length=10)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("keep", [0, 4, 40, -1])
def test_a_cut_file_is_corrupt(tmp_path: Path, keep: int):
    write(tmp_path / "t", [[A]], max_length=10)
    (tmp_path / "cut").write_bytes((tmp_path / "t").read_bytes()[:keep])
    with pytest.raises(CorruptBlob, match="cut is not a whole token file"):
        TokenFile.open(tmp_path / "cut")


some_rows = st.lists(st.tuples(st.integers(0, 2**31 - 1), st.integers(0, 1)), min_size=1, max_size=8).map(
    lambda pairs: Rendered([i for i, _ in pairs], [w for _, w in pairs[:-1]] + [1])
)


@given(st.lists(st.lists(some_rows, min_size=1, max_size=2), max_size=6))
def test_any_rows_round_trip(tmp_path_factory: pytest.TempPathFactory, examples: list[list[Rendered]]):
    path = tmp_path_factory.mktemp("tokens") / "t"
    stats = write(path, examples, max_length=8)
    file = TokenFile.open(path)
    flat = [row for rows in examples for row in rows]
    assert [(ids.tolist(), weights.tolist()) for ids, weights in map(file.__getitem__, range(len(file)))] == [
        (row.ids, row.weights) for row in flat
    ]
    assert stats.tokens == sum(len(row.ids) for row in flat)
    assert stats.supervised_tokens == sum(sum(row.weights) for row in flat)


def line(*messages: dict[str, str], **more: object) -> bytes:
    return json.dumps({"messages": messages, **more}).encode() + b"\n"


USER, ANSWER = {"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello."}


def test_from_bytes_to_the_token_file(tiny: Renderer, tmp_path: Path):
    data = line(USER, ANSWER) + line(USER, ANSWER, USER, ANSWER)
    stats = write(tmp_path / "t", rendered(read_lines([data]), tiny), max_length=2048)
    ids, weights = TokenFile.open(tmp_path / "t")[1]
    (expected,) = tiny.example([USER, ANSWER, USER, ANSWER])  # pyright: ignore[reportArgumentType]
    assert (ids.tolist(), weights.tolist()) == (expected.ids, expected.weights)
    assert stats.examples == 2


def test_legacy_functions_are_declared_as_tools(tiny: Renderer):
    function = {"name": "dose", "parameters": {"type": "object"}}
    legacy = line(USER, ANSWER, functions=[function])
    today = line(USER, ANSWER, tools=[{"type": "function", "function": function}])
    first, second = rendered(read_lines([legacy + today]), tiny)
    assert first == second


def test_an_example_that_the_template_refuses_is_named(tiny: Renderer, tmp_path: Path):
    data = line(USER, ANSWER) + line({"role": "narrator", "content": "Jane Roe"}, ANSWER)
    with pytest.raises(DataError) as refused:
        list(rendered(read_lines([data]), tiny))
    assert refused.value.message == (
        "The job failed due to an invalid training file. Invalid file format. "
        "Example 2: chat template of base model does not support this conversation: "
        "Roles are system, developer, user, assistant and tool."
    )
    assert (refused.value.line, refused.value.param) == (2, "training_file")


def test_a_line_that_is_no_object_ends_rendering(tiny: Renderer):
    with pytest.raises(DataError, match="Line 2: expected an object"):
        list(rendered(read_lines([line(USER, ANSWER) + b"null\n"]), tiny))
