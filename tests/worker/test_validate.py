"""A file that is sound moves its job on, with a number for every "auto"; any other ends it with the right code."""

import json

import pytest

from afina.errors import FenceLost
from afina.worker import validate
from afina.worker.context import Hold


def test_a_sound_file_is_queued_with_numbers(rooms, validated):
    job = validated()
    assert job.status == "queued"
    assert job.hyperparameters.model_dump() == {
        "n_epochs": 10,
        "batch_size": 1,
        "learning_rate_multiplier": 1.0,
    }
    assert job.method.supervised.hyperparameters == job.hyperparameters
    assert job.afina.total_steps == 100
    assert (job.afina.adapter.rank, job.afina.adapter.alpha) == (2, 4.0)
    assert job.afina.training_tokens > 100
    assert rooms.said(job.id) == [
        f"Created fine-tuning job: {job.id}",
        f"Validating training file: {job.training_file}",
        "Files validated, moving job to queued state",
    ]
    claim = rooms.claim("train")
    assert (claim.subject, claim.attempts) == (job.id, 0)


def test_numbers_that_were_asked_for_stay(validated):
    job = validated(n_epochs=2, batch_size=3, learning_rate_multiplier=0.5)
    numbers = {"n_epochs": 2, "batch_size": 3, "learning_rate_multiplier": 0.5}
    assert (job.hyperparameters.model_dump(), job.afina.total_steps) == (numbers, 8)


def test_a_validation_file_is_checked_too(rooms, validated, chats):
    file = rooms.upload(chats(2))
    job = validated(validation_file=file.id)
    assert job.status == "queued"
    assert rooms.said(job.id)[1].endswith(f" and validation file: {file.id}")
    broken = validated(validation_file=rooms.upload(b"{}\n").id)
    assert (broken.error.code, broken.error.param) == ("invalid_validation_file", "validation_file")


def line(*messages) -> bytes:
    return json.dumps({"messages": messages}).encode() + b"\n"


GOOD = ({"role": "user", "content": "a"}, {"role": "assistant", "content": "b"})
FORMAT = "The job failed due to an invalid training file. Invalid file format. "


@pytest.mark.parametrize(
    ("content", "code", "words"),
    [
        (
            line(*GOOD) * 3,
            "invalid_n_examples",
            "Training file has 3 example(s), but must have at least 10 examples",
        ),
        (b"", "invalid_n_examples", "Training file has 0 example(s)"),
        (b"not json\n" + line(*GOOD) * 9, "invalid_training_file", FORMAT + "Line 1 is not JSON"),
        (line(*GOOD) * 9 + b"{}\n", "invalid_training_file", FORMAT + "Example 10"),
        (b"\xff\xfe{\0", "invalid_training_file", FORMAT + "file is UTF-16"),
        (line(*GOOD) * 9 + line(GOOD[0]), "invalid_training_file", FORMAT + "Example 10"),
    ],
    ids=["too few", "empty", "no json", "no messages", "encoding", "no answer"],
)
def test_an_unsound_file_fails_the_job(rooms, validated, content, code, words):
    job = validated(content)
    assert (job.status, job.error.code, job.error.param) == ("failed", code, "training_file")
    assert job.error.message.startswith(words)
    assert rooms.said(job.id)[-1] == job.error.message
    assert rooms.attempts(job.id) is None


def test_every_problem_is_an_event_with_its_place(rooms, validated):
    job = validated(line(*GOOD) * 8 + b"1\n{}\n")
    found = [text for text in rooms.said(job.id) if text.startswith("Training file: ")]
    assert len(found) == 2
    assert "Line 9" in found[0]
    assert "Example 10" in found[1]
    assert "(the first of 2 problems)" in job.error.message


def test_no_content_is_echoed(rooms, validated):
    job = validated(line(*GOOD) * 9 + line({"role": "patient 4711", "content": "secret 4711"}))
    assert job.status == "failed"
    assert "4711" not in " ".join([*rooms.said(job.id), job.error.message])


def test_an_example_of_which_nothing_is_left_fails_the_job(rooms, validated, chats):
    job = validated(chats(10), afina={"adapter": {"rank": 2, "alpha": 4.0}, "max_length": 16})
    assert (job.status, job.error.code) == ("failed", "invalid_training_file")
    assert "truncation at 16 tokens" in job.error.message


@pytest.mark.parametrize("kind", ["training", "validation"])
def test_stored_bytes_that_have_changed_fail_the_job(rooms, context, chats, kind):
    job = rooms.submit(validation_file=rooms.upload(chats(5)).id)
    file = job.training_file if kind == "training" else job.validation_file
    path = rooms.blobs.path(f"files/{file}")
    path.write_bytes(path.read_bytes().replace(b"plus", b"plvs", 1))
    validate.validate(context, Hold(rooms.claim()))
    error = rooms.job(job.id).error
    assert (error.code, error.param) == (f"{kind}_file_corrupt", f"{kind}_file")


def test_a_base_that_is_gone_fails_the_job(rooms, validated):
    job = validated(model="was-here-yesterday")
    assert (job.status, job.error.code) == ("failed", "model_not_found")


def test_a_job_that_was_cancelled_meanwhile_stays_so(rooms, context):
    job = rooms.submit()
    hold = Hold(rooms.claim())
    rooms.cancel(job.id)
    with pytest.raises(FenceLost):
        validate.validate(context, hold)
    assert rooms.job(job.id).status == "cancelled"
    assert rooms.said(job.id)[-1] == "The job has been cancelled"


def test_giving_up_says_whose_fault_it_was(rooms, context):
    job = rooms.submit()
    validate.give_up(context, Hold(rooms.claim()))
    assert (rooms.job(job.id).status, rooms.job(job.id).error.code) == ("failed", "server_error")
