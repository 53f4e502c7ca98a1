"""The rows that a call needs: the name of an argument says what kind of thing its value names."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from sqlalchemy import Table, insert, update

import afina.base
from afina import ids
from afina.blobs import Blobs
from afina.schemas.batches import WINDOW_SECONDS, Batch
from afina.schemas.chat import CreateChatCompletion
from afina.schemas.chat_replies import AssistantReply, ChatChoice, ChatCompletion, ChatUsage
from afina.schemas.conversations import Conversation
from afina.schemas.eval_runs import CriterionCounts, EvalRun, ItemResult, Sample, SampleMessage
from afina.schemas.evals import Eval
from afina.schemas.files import FileObject
from afina.schemas.fine_tuning import (
    FineTuningJob,
    JobCheckpoint,
    SupervisedHyperparameters,
    SupervisedMethod,
)
from afina.schemas.models import Model, ModelKind
from afina.schemas.response_items import InputText, MessageItem
from afina.schemas.response_replies import Response, StoredResponse
from afina.schemas.responses import TextConfig
from afina.schemas.stored_chats import StoredChat
from afina.schemas.uploads import Upload, UploadPart
from afina.store import (
    batches,
    chats,
    checkpoints,
    clock,
    conversations,
    eval_items,
    eval_runs,
    evals,
    events,
    files,
    jobs,
    models,
    permissions,
    projects,
    responses,
    tables,
    uploads,
    work,
)
from afina.store.events import NewEvent
from afina.store.rows import to_row
from afina.store.scope import Scope, System

OWNER = "conformance"
HELD_SECONDS = 600.0
CONTENT = b"{}\n"


@dataclass(frozen=True)
class Wanted:
    """What has to be there before `method` is called: the thing with the name `id`."""

    scope: Scope
    blobs: Blobs
    method: str
    id: str

    @property
    def now(self) -> int:
        """The database's time."""
        return clock.seconds(self.scope)


def file(wanted: Wanted, identifier: str, purpose: str) -> None:
    """A file with a few bytes in it; one file may be named twice."""
    if files.find(wanted.scope, identifier) is not None:
        return
    written = wanted.blobs.write(f"files/{identifier}", [CONTENT])
    about = {"bytes": written.bytes, "sha256": written.sha256, "filename": "rows.jsonl", "purpose": purpose}
    files.insert(wanted.scope, FileObject(id=identifier, created_at=wanted.now, **about))


def training_file(wanted: Wanted) -> None:
    """A file of examples."""
    file(wanted, wanted.id, "fine-tune")


def user_file(wanted: Wanted) -> None:
    """A file that nothing uses."""
    file(wanted, wanted.id, "user_data")


def batch_file(wanted: Wanted) -> None:
    """A batch's requests."""
    file(wanted, wanted.id, "batch")


def upload(wanted: Wanted) -> None:
    """An upload that waits for its parts."""
    uploads.insert(
        wanted.scope,
        Upload(
            id=wanted.id,
            bytes=len(CONTENT) if wanted.method == "uploads.complete" else 1024,
            created_at=wanted.now,
            expires_at=wanted.now + 3600,
            filename="notes.txt",
            purpose="assistants",
            mime_type="text/plain",
        ),
    )


def part(wanted: Wanted) -> None:
    """A part of the one upload there is."""
    upload_id = wanted.scope.connection.execute(tables.metadata.tables["uploads"].select()).one().id
    arrived = UploadPart(id=wanted.id, upload_id=upload_id, created_at=wanted.now)
    written = wanted.blobs.write(arrived.blob, [CONTENT])
    sized = {"bytes": written.bytes, "sha256": written.sha256}
    uploads.insert_part(wanted.scope, arrived.model_copy(update=sized))


def job(wanted: Wanted) -> None:
    """A job in the middle of its life, with a history and a checkpoint; one to be resumed is paused."""
    scope, training = wanted.scope, "file-of-the-job"
    file(wanted, training, "fine-tune")
    jobs.insert(
        scope,
        FineTuningJob(
            id=wanted.id,
            created_at=wanted.now,
            model=afina.base.NAME,
            organization_id=scope.organization_id,
            status="paused" if wanted.method.endswith(".resume") else "running",
            training_file=training,
            seed=1,
            hyperparameters=SupervisedHyperparameters(n_epochs=3, batch_size=1, learning_rate_multiplier=1.0),
            method=SupervisedMethod(type="supervised"),
        ),
    )
    events.append(scope, wanted.id, [NewEvent("Step 1/30: training loss=1.00", step=1)], fence=None)
    work.enqueue(scope, wanted.id, "train")
    claim = work.claim(System(scope.connection), OWNER, ["train"], lease_seconds=HELD_SECONDS)
    assert claim is not None
    checkpoints.insert(scope, checkpoint(wanted), fence=claim.fence)


def checkpoint(wanted: Wanted) -> JobCheckpoint:
    """A model as it was after ten steps of the job."""
    return JobCheckpoint(
        id=ids.checkpoint_id(),
        created_at=wanted.now,
        fine_tuned_model_checkpoint=f"{wanted.id}:ckpt-step-10",
        fine_tuning_job_id=wanted.id,
        step_number=10,
        metrics={"step": 10, "train_loss": 1.0},
    )


def model(wanted: Wanted, kind: ModelKind) -> None:
    """One of the project's own models."""
    about = {"id": wanted.id, "kind": kind, "key": ids.random_text(24)}
    row = Model(created=wanted.now, owned_by="personal", base=afina.base.NAME, **about)
    models.insert(wanted.scope, row)


def checkpoint_model(wanted: Wanted) -> None:
    """A model that can be shared; another project may use it already."""
    model(wanted, "checkpoint")
    if wanted.method.endswith((".list", ".retrieve")):
        other_project(wanted, "another")
        permissions.grant(wanted.scope, wanted.id, ["another"], actor=OWNER)


def permission(wanted: Wanted) -> None:
    """A permission for the one model that can be shared."""
    other_project(wanted, "another")
    shared = next(row for row in models.page(wanted.scope).data if row.kind == "checkpoint")
    granted = permissions.grant(wanted.scope, shared.id, ["another"], actor=OWNER)
    rename(wanted, tables.checkpoint_permissions, granted[0].id)


def project(wanted: Wanted) -> None:
    """A project that a model can be shared with."""
    other_project(wanted, wanted.id)


def other_project(wanted: Wanted, identifier: str) -> None:
    """Another project of the organisation; projects stay from test to test."""
    system = System(wanted.scope.connection)
    if identifier not in {known.id for known in projects.every(system)}:
        organization = wanted.scope.organization_id
        row = projects.Project(
            id=identifier, organization_id=organization, name=identifier, created_at=wanted.now
        )
        system.connection.execute(insert(tables.projects).values(to_row(tables.projects, row)))


def named_model(wanted: Wanted) -> None:
    """A model that can be asked, under whatever name; where it is to be shown or deleted, one of the project's own."""
    if wanted.method.startswith("models."):
        model(wanted, "tuned")
    else:
        models.alias(System(wanted.scope.connection), wanted.id, afina.base.NAME)


def batch(wanted: Wanted) -> None:
    """A batch that nobody has begun to work on."""
    requests = "file-of-the-batch"
    file(wanted, requests, "batch")
    times = {"created_at": wanted.now, "expires_at": wanted.now + WINDOW_SECONDS}
    endpoint = "/v1/chat/completions"
    batches.insert(wanted.scope, Batch(id=wanted.id, endpoint=endpoint, input_file_id=requests, **times))


def chat(wanted: Wanted) -> None:
    """A chat that was kept. The client's type of a stored message knows no speaker but the assistant."""
    message = AssistantReply(content="Good morning.")
    reply = ChatCompletion(
        id=wanted.id,
        created=wanted.now,
        model=afina.base.NAME,
        choices=[ChatChoice(index=0, message=message, finish_reason="stop")],
        usage=ChatUsage(prompt_tokens=3, completion_tokens=3, total_tokens=6),
        system_fingerprint="fp_0000000000",
    )
    asked = {"model": afina.base.NAME, "messages": [{"role": "assistant", "content": "Good morning!"}]}
    chats.insert(wanted.scope, StoredChat.of(CreateChatCompletion.model_validate(asked), reply))


def response(wanted: Wanted) -> None:
    """A response that was kept; one to be cancelled is still being made in the background."""
    open_ended = wanted.method.endswith(".cancel")
    said = MessageItem(id="msg_1", role="assistant", status="completed", content=[])
    made = Response(
        id=wanted.id,
        created_at=wanted.now,
        status="in_progress" if open_ended else "completed",
        background=open_ended,
        model=afina.base.NAME,
        output=[] if open_ended else [said],
        text=TextConfig(),
    )
    question = MessageItem(id="msg_0", role="user", content=[InputText(text="Good morning!")])
    responses.insert(wanted.scope, StoredResponse(response=made, input=[question]))


def conversation(wanted: Wanted) -> None:
    """A conversation in which nothing was said yet."""
    conversations.insert(wanted.scope, Conversation(id=wanted.id, created_at=wanted.now))


def eval_of_rows(wanted: Wanted) -> None:
    """An eval of items of any form."""
    same = {"type": "string_check", "name": "same", "operation": "eq", "input": "{{ item.foo }}"}
    made = {
        "id": wanted.id,
        "created_at": wanted.now,
        "name": "Of rows",
        "data_source_config": {"type": "custom", "schema": {"properties": {"item": {"type": "object"}}}},
        "testing_criteria": [{**same, "reference": "bar"}],
    }
    evals.insert(wanted.scope, Eval.model_validate(made))


def eval_run(wanted: Wanted) -> None:
    """A run of the one eval there is, that nobody has begun to work on."""
    made = {
        "id": wanted.id,
        "eval_id": evals.page(wanted.scope).data[0].id,
        "created_at": wanted.now,
        "name": "One",
        "data_source": {"type": "jsonl", "source": {"type": "file_content", "content": [{"item": {}}]}},
        "per_testing_criteria_results": [CriterionCounts(testing_criteria="same")],
    }
    eval_runs.insert(wanted.scope, EvalRun.model_validate(made))


def output_item(wanted: Wanted) -> None:
    """The one item of the one run there is, with its result."""
    scope, eval_id = wanted.scope, evals.page(wanted.scope).data[0].id
    run_id = eval_runs.page(scope, eval_id).data[0].id
    eval_items.add(scope, eval_id, run_id, [({"foo": "bar"}, None)], first=0)
    (made,) = eval_items.waiting(scope, run_id, after=-1, limit=1)
    passed = ItemResult(name="same", type="string_check", passed=True, score=1.0)
    sample = Sample(output=[SampleMessage(role="assistant", content="bar")])
    eval_items.settle(scope, run_id, [eval_items.Settled(made.id, "pass", [passed], sample)])
    rename(wanted, tables.metadata.tables["eval_items"], made.id)


def rename(wanted: Wanted, table: Table, made: str) -> None:
    """Give a row that chose its own id the wanted one."""
    wanted.scope.connection.execute(update(table).where(table.c.id == made).values(id=wanted.id))


# In the order in which rows refer to each other.
ROWS: Mapping[str, Callable[[Wanted], None]] = {
    "model": named_model,
    "testing_criteria": named_model,
    "fine_tuned_model_checkpoint": checkpoint_model,
    "permission_id": permission,
    "project_ids": project,
    "training_file": training_file,
    "validation_file": training_file,
    "file_id": user_file,
    "input_file_id": batch_file,
    "upload_id": upload,
    "part_ids": part,
    "fine_tuning_job_id": job,
    "batch_id": batch,
    "completion_id": chat,
    "response_id": response,
    "previous_response_id": response,
    "conversation": conversation,
    "eval_id": eval_of_rows,
    "run_id": eval_run,
    "output_item_id": output_item,
}
