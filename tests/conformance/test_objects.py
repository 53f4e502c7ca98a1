"""What no test of types can see: what was made is found, what was deleted is gone, what was kept is as answered."""

import json
from collections.abc import Callable, Iterable

import openai
import pytest
from openai.types import FileObject

import afina.base
from afina.schemas.models import Model
from afina.store import models, projects
from afina.store.database import Database

ROWS = b'{"messages": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello."}]}\n' * 10
MODEL = afina.base.NAME
QUESTION = {"model": MODEL, "messages": [{"role": "user", "content": "Hi"}]}
LINE = {"custom_id": "a", "method": "POST", "url": "/v1/chat/completions", "body": QUESTION}
SAME = {"Idempotency-Key": "the same"}


def names(found: Iterable[object]) -> list[str]:
    return [each.id for each in found]  # type: ignore[attr-defined]


def gone(look: Callable[[], object]) -> None:
    with pytest.raises(openai.NotFoundError):
        look()


def file(client: openai.OpenAI, content: bytes = ROWS, purpose: str = "fine-tune") -> FileObject:
    return client.files.create(file=("rows.jsonl", content), purpose=purpose)  # type: ignore[arg-type]


def test_a_file(official: openai.OpenAI) -> None:
    made = file(official)
    assert names(official.files.list()) == [made.id]
    assert official.files.retrieve(made.id) == made
    assert official.files.content(made.id).read() == ROWS
    official.files.delete(made.id)
    assert names(official.files.list()) == []
    gone(lambda: official.files.retrieve(made.id))
    gone(lambda: official.files.content(made.id))


def test_an_upload(official: openai.OpenAI) -> None:
    made = official.uploads.create(
        bytes=len(ROWS), filename="rows.jsonl", mime_type="text/jsonl", purpose="fine-tune"
    )
    half = len(ROWS) // 2
    second, first = (official.uploads.parts.create(made.id, data=data) for data in (ROWS[half:], ROWS[:half]))
    done = official.uploads.complete(made.id, part_ids=[first.id, second.id])
    assert done.file is not None
    assert official.files.content(done.file.id).read() == ROWS
    with pytest.raises(openai.BadRequestError):
        official.uploads.parts.create(made.id, data=b"more")


def test_a_job(official: openai.OpenAI) -> None:
    training = file(official).id
    jobs = official.fine_tuning.jobs
    made, again = (
        jobs.create(model=MODEL, training_file=training, extra_headers=SAME, metadata={"try": "one"})
        for _ in range(2)
    )
    assert made.id == again.id
    assert names(jobs.list()) == names(jobs.list(metadata={"try": "one"})) == [made.id]
    assert names(jobs.list(metadata={"try": "two"})) == []
    assert jobs.cancel(made.id).status == jobs.retrieve(made.id).status == "cancelled"
    assert next(event.message for event in jobs.list_events(made.id)) == "The job has been cancelled"
    with pytest.raises(openai.BadRequestError):
        jobs.cancel(made.id)


def test_a_model_and_its_permissions(official: openai.OpenAI, database: Database) -> None:
    with database.system() as system:
        first = projects.every(system)[0]
        other = projects.create(system, first.organization_id, "Another")
    tuned = Model(id="ft:of-mine", created=1, owned_by="me", kind="tuned", base=MODEL, key="of-mine")
    with database.scope(first.id) as scope:
        models.insert(scope, tuned)
    permissions = official.fine_tuning.checkpoints.permissions
    (made,) = permissions.create(tuned.id, project_ids=[other.id]).data
    assert names(permissions.create(tuned.id, project_ids=[other.id])) == [made.id]
    assert names(permissions.list(tuned.id)) == [made.id]
    permissions.delete(made.id, fine_tuned_model_checkpoint=tuned.id)
    assert names(permissions.list(tuned.id)) == []
    assert tuned.id in names(official.models.list())
    official.models.delete(tuned.id)
    assert tuned.id not in names(official.models.list())
    gone(lambda: official.models.retrieve(tuned.id))
    gone(lambda: permissions.list(tuned.id))


@pytest.mark.usefixtures("played")
def test_a_stored_chat(official: openai.OpenAI) -> None:
    chats = official.chat.completions
    answered = chats.create(
        model=MODEL, messages=[{"role": "user", "content": "Count."}], store=True, metadata={"set": "a"}
    )
    kept = chats.retrieve(answered.id)
    assert kept.choices == answered.choices
    assert (kept.created, kept.model, kept.usage) == (answered.created, answered.model, answered.usage)
    assert names(chats.list()) == names(chats.list(metadata={"set": "a"})) == [answered.id]
    chats.update(answered.id, metadata={"set": "b"})
    assert names(chats.list(metadata={"set": "a"})) == []
    chats.delete(answered.id)
    assert names(chats.list()) == []
    gone(lambda: chats.retrieve(answered.id))
    gone(lambda: chats.messages.list(answered.id))


@pytest.mark.usefixtures("played")
def test_a_response(official: openai.OpenAI) -> None:
    answered = official.responses.create(model=MODEL, input="Count.")
    kept = official.responses.retrieve(answered.id)
    assert kept.output == answered.output
    assert kept.usage == answered.usage
    (item,) = official.responses.input_items.list(answered.id).data
    assert item.content[0].text == "Count."  # type: ignore[union-attr]
    official.responses.delete(answered.id)
    gone(lambda: official.responses.retrieve(answered.id))
    gone(lambda: official.responses.input_items.list(answered.id))
    with pytest.raises(openai.BadRequestError):
        official.responses.create(model=MODEL, input="And on.", previous_response_id=answered.id)


def test_a_batch(official: openai.OpenAI) -> None:
    requests = file(official, json.dumps(LINE).encode(), "batch").id
    made, again = (
        official.batches.create(
            input_file_id=requests,
            endpoint="/v1/chat/completions",
            completion_window="24h",
            extra_headers=SAME,
        )
        for _ in range(2)
    )
    assert made.id == again.id
    assert names(official.batches.list()) == [made.id]
    assert official.batches.cancel(made.id).status == "cancelling"
    assert official.batches.retrieve(made.id).status in ("cancelling", "cancelled")


def test_a_webhook_endpoint(official: openai.OpenAI) -> None:
    made = official.webhooks.create(
        name="mine", url="https://example.com/hook", event_types=["fine_tuning.job.succeeded"]
    )
    assert names(official.webhooks.list()) == [made.id]
    assert official.webhooks.retrieve(made.id).url == "https://example.com/hook"
    official.webhooks.delete(made.id)
    assert names(official.webhooks.list()) == []
    gone(lambda: official.webhooks.retrieve(made.id))
