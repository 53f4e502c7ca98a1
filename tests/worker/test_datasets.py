"""Token files are made once, by what decides them, and never from bytes that have changed."""

import threading
from dataclasses import replace

import pytest

from afina.data.tokens import TokenFile
from afina.errors import DataError
from afina.training.datasets import token_path
from afina.worker import datasets
from afina.worker.bases import find


@pytest.fixture
def tiny(context):
    return find(context, "tiny")


def test_the_rows_are_those_of_the_file(rooms, context, tiny):
    job = rooms.submit()
    made = datasets.of_job(context, job, tiny, "training")
    data = TokenFile.open(made.path)
    assert (len(data), made.stats.examples, made.stats) == (10, 10, data.stats)
    assert made.path.parent == context.settings.data.absolute() / "cache" / "tokens" / job.training_file


def test_the_same_file_is_rendered_once(rooms, context, tiny, chats, monkeypatch):
    file = rooms.upload(chats(10)).id
    first = datasets.of_job(context, rooms.submit(training_file=file), tiny, "training")
    monkeypatch.setattr("afina.training.bases.Renderer", None)  # whoever rendered now would find out
    assert datasets.of_job(context, rooms.submit(training_file=file), tiny, "training") == first


@pytest.mark.parametrize("other", [{"file": {"sha256": "x"}}, {"file": {"id": "file-x"}}, {"max_length": 20}])
def test_what_decides_the_tokens_decides_the_name(rooms, context, tiny, chats, other):
    source = datasets.source(context, rooms.submit(afina={"max_length": 64}), tiny, "training")
    if "file" in other:
        changed = replace(source, file=source.file.model_copy(update=other["file"]))
    else:
        changed = replace(source, **other)
    cache = context.settings.tokens
    assert token_path(changed, cache) != token_path(source, cache) == token_path(replace(source), cache)


@pytest.mark.parametrize("asked", [None, 20, 10**6])
def test_an_example_is_cut_at_what_was_asked_and_at_the_context(rooms, context, tiny, asked):
    job = rooms.submit(afina={"max_length": asked} if asked else {})
    assert datasets.source(context, job, tiny, "training").max_length == min(asked or 512, 512)


def test_a_damaged_cache_is_made_again(rooms, context, tiny):
    job = rooms.submit()
    made = datasets.of_job(context, job, tiny, "training")
    whole = made.path.read_bytes()
    made.path.write_bytes(whole[:100])
    assert datasets.of_job(context, job, tiny, "training") == made
    assert made.path.read_bytes() == whole


def test_two_jobs_that_need_the_same_file_at_once_both_get_it(rooms, context, tiny, chats):
    file = rooms.upload(chats(200)).id
    jobs = [rooms.submit(training_file=file) for _ in range(4)]
    found, barrier = [], threading.Barrier(4)

    def make(job):
        barrier.wait()
        found.append(datasets.of_job(context, job, tiny, "training"))

    threads = [threading.Thread(target=make, args=(job,)) for job in jobs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 4
    assert len(set(found)) == 1
    assert len(TokenFile.open(found[0].path)) == 200
    assert [path.name for path in found[0].path.parent.iterdir()] == [found[0].path.name]


@pytest.mark.parametrize("damage", ["bit", "short", "gone"])
@pytest.mark.parametrize("kind", ["training", "validation"])
def test_bytes_that_have_changed_are_refused(rooms, context, tiny, chats, damage, kind):
    job = rooms.submit(validation_file=rooms.upload(chats(3)).id)
    path = rooms.blobs.path(datasets.file_of(context, job, kind).blob)
    content = path.read_bytes()
    path.unlink()
    if damage != "gone":
        path.write_bytes(content[:-1] if damage == "short" else bytes([content[0] ^ 1]) + content[1:])
    for read in (datasets.report, datasets.of_job):
        with pytest.raises(DataError) as refused:
            read(context, job, tiny, kind)
        assert (refused.value.code, refused.value.param) == (f"{kind}_file_corrupt", f"{kind}_file")
