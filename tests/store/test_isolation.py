"""One project never sees another's: every public function that takes a Scope, called with another project's ids.

The list of functions is read from the package: a new one that this test does not know makes it fail.
"""

import importlib
import inspect
import pkgutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import get_type_hints

import pytest
from sqlalchemy import select, text

import afina.store
from afina.errors import FenceLost, InvalidRequest, NotFound
from afina.schemas.batches import BatchResult
from afina.schemas.conversations import Conversation
from afina.schemas.eval_runs import EvalRun
from afina.schemas.files import FileObject
from afina.schemas.fine_tuning import JobCheckpoint
from afina.schemas.models import Model
from afina.schemas.uploads import UploadPart
from afina.store import (
    archiving,
    audit,
    batches,
    chats,
    checkpoints,
    conversations,
    eval_items,
    eval_runs,
    evals,
    events,
    files,
    idempotency,
    jobs,
    keys,
    models,
    moves,
    outbox,
    permissions,
    projects,
    responses,
    service_accounts,
    uploads,
    usage,
    webhooks,
    work,
)
from afina.store.database import Database
from afina.store.events import NewEvent
from afina.store.idempotency import Attempt
from afina.store.scope import Scope
from afina.store.tables import metadata
from afina.store.work import Claim

CHAT = "chatcmpl-theirs"
RESPONSE = "resp_theirs"
TALK = Conversation(id="conv_theirs", created_at=1, last_response_id=RESPONSE)
SOME_FILE = FileObject(id="file-some", bytes=3, created_at=1, filename="a", purpose="assistants")


@dataclass(frozen=True)
class Theirs:
    """What the first project has; the ids that the second one tries."""

    file: str
    job: str
    model: str
    key: str
    checkpoint: JobCheckpoint
    claim: Claim
    attempt: Attempt
    endpoint: str
    account: str
    upload: str
    part: UploadPart
    batch: Claim
    run: EvalRun
    trial: Claim


@pytest.fixture
def trial(database: Database, project: str, new_eval, new_run) -> tuple[EvalRun, Claim]:
    """A run of the first project with an item, and who works on it."""
    with database.scope(project) as scope:
        run = new_run(scope, new_eval(scope))
        eval_items.add(scope, run.eval_id, run.id, [({"a": "b"}, None)], first=0)
    with database.system() as system:
        claim = work.claim(system, "w", [eval_runs.KIND], lease_seconds=3600.0)
    assert claim
    return run, claim


@pytest.fixture
def theirs(
    database: Database, project: str, new_job, new_chat, stored, new_upload, new_batch, trial
) -> Theirs:
    """A row of the first project in every table that belongs to projects."""
    attempt = Attempt("POST /x", "key", "body")
    with database.scope(project) as scope:
        job = new_job(scope, metadata={"colour": "red"})
        ended = new_job(scope)
        moves.move(scope, ended.id, "cancelled", fence=None, event="cancelled")
        events.append(scope, job.id, [NewEvent("secret"), NewEvent("step", step=1)], fence=None)
        key = keys.insert(scope, "sk-theirs", name="theirs", role="owner")
        model = Model(id="ft:tiny:personal::theirs", created=1, owned_by="p", kind="tuned", job_id=job.id)
        models.insert(scope, model)
        models.alias(scope, "their-alias", model.id)
        chats.insert(scope, new_chat(CHAT, metadata={"colour": "red"}))
        responses.insert(scope, stored(RESPONSE))
        conversations.insert(scope, TALK)
        idempotency.remember(scope, attempt, job.id)
        endpoint = webhooks.insert(
            scope, name="x", url="https://x.example", event_types=["t"], secret="whsec_", actor="a"
        )
        account = service_accounts.insert(scope, name="x", role="member", actor="a")
    with database.system() as system:
        usage.record(system, [usage.Used(project, "completions", "m", 1)])
        lender = projects.create(system, projects.every(system)[0].organization_id, "Lender").id
    with database.scope(lender) as scope:
        models.insert(scope, Model(id="ft:lent", created=1, owned_by="p", kind="tuned"))
        permissions.grant(scope, "ft:lent", [project], actor="a")
    with database.system() as system:
        claim = work.claim(system, "w", ["validate"], lease_seconds=3600.0)
    assert claim and claim.subject == job.id
    checkpoint = JobCheckpoint(
        id="ftckpt_theirs",
        created_at=1,
        fine_tuned_model_checkpoint=model.id,
        fine_tuning_job_id=job.id,
        step_number=1,
        metrics={},
    )
    with database.scope(project) as scope:
        checkpoints.insert(scope, checkpoint, fence=claim.fence)
    with database.scope(project) as scope:
        part = new_upload(scope)
        new_batch(scope)
    with database.system() as system:
        batch = work.claim(system, "w", ["batch"], lease_seconds=3600.0)
    assert batch
    with database.scope(project) as scope:
        answer = BatchResult(id="batch_req_1", custom_id="a", response=None)
        batches.add_results(scope, batch.subject, [batches.Result(1, answer)], fence=batch.fence)
    return Theirs(
        job.training_file,
        job.id,
        model.id,
        key.id,
        checkpoint,
        claim,
        attempt,
        endpoint.id,
        account.id,
        part.upload_id,
        part,
        batch,
        *trial,
    )


# What the second project gets when it asks for the first one's: an error, or an answer that says "nothing".
MISSING: dict[str, tuple[type[Exception], Callable[[Scope, Theirs], object]]] = {
    "files.get": (NotFound, lambda scope, theirs: files.get(scope, theirs.file)),
    "uploads.get": (NotFound, lambda scope, theirs: uploads.get(scope, theirs.upload)),
    "uploads.pending": (NotFound, lambda scope, theirs: uploads.pending(scope, theirs.upload)),
    "uploads.cancel": (NotFound, lambda scope, theirs: uploads.cancel(scope, theirs.upload)),
    "uploads.complete": (NotFound, lambda s, theirs: uploads.complete(s, theirs.upload, SOME_FILE)),
    "uploads.insert_part": (NotFound, lambda scope, theirs: uploads.insert_part(scope, theirs.part)),
    "uploads.get_part": (NotFound, lambda scope, theirs: uploads.get_part(scope, theirs.part.id)),
    "uploads.ordered": (
        InvalidRequest,
        lambda scope, theirs: uploads.ordered(scope, theirs.upload, [theirs.part.id]),
    ),
    "batches.get": (NotFound, lambda scope, theirs: batches.get(scope, theirs.batch.subject)),
    "batches.cancel": (NotFound, lambda scope, theirs: batches.cancel(scope, theirs.batch.subject)),
    "batches.move": (
        NotFound,
        lambda scope, theirs: batches.move(scope, theirs.batch.subject, "cancelling", fence=None),
    ),
    "batches.abandon": (NotFound, lambda s, theirs: batches.abandon(s, theirs.batch.subject, actor="a")),
    "batches.add_results": (
        NotFound,
        lambda s, theirs: batches.add_results(s, theirs.batch.subject, [], fence=theirs.batch.fence),
    ),
    "evals.get": (NotFound, lambda scope, theirs: evals.get(scope, theirs.run.eval_id)),
    "evals.change": (NotFound, lambda scope, theirs: evals.change(scope, theirs.run.eval_id, {"name": "x"})),
    "evals.delete": (NotFound, lambda scope, theirs: evals.delete(scope, theirs.run.eval_id)),
    "eval_runs.get": (NotFound, lambda s, theirs: eval_runs.get(s, theirs.run.eval_id, theirs.run.id)),
    "eval_runs.cancel": (NotFound, lambda s, theirs: eval_runs.cancel(s, theirs.run.eval_id, theirs.run.id)),
    "eval_runs.delete": (NotFound, lambda s, theirs: eval_runs.delete(s, theirs.run.eval_id, theirs.run.id)),
    "eval_runs.held": (
        FenceLost,
        lambda s, theirs: eval_runs.held(s, theirs.run.id, fence=theirs.trial.fence),
    ),
    "eval_runs.move": (
        FenceLost,
        lambda s, theirs: eval_runs.move(s, theirs.run, "failed", fence=theirs.trial.fence),
    ),
    "eval_items.get": (NotFound, lambda scope, theirs: eval_items.get(scope, theirs.run.id, "outputitem_x")),
    "files.delete": (NotFound, lambda scope, theirs: files.delete(scope, theirs.file)),
    "jobs.require": (NotFound, lambda scope, theirs: jobs.require(scope, theirs.job)),
    "jobs.get": (NotFound, lambda scope, theirs: jobs.get(scope, theirs.job)),
    "jobs.change": (NotFound, lambda scope, theirs: jobs.change(scope, theirs.job, {"seed": 2}, fence=1)),
    "moves.move": (NotFound, lambda s, theirs: moves.move(s, theirs.job, "cancelled", fence=None, event="e")),
    "events.append": (NotFound, lambda s, theirs: events.append(s, theirs.job, [NewEvent("e")], fence=None)),
    "events.page": (NotFound, lambda scope, theirs: events.page(scope, theirs.job)),
    "checkpoints.insert": (
        NotFound,
        lambda scope, theirs: checkpoints.insert(scope, theirs.checkpoint, fence=theirs.claim.fence),
    ),
    "checkpoints.page": (NotFound, lambda scope, theirs: checkpoints.page(scope, theirs.job)),
    "models.get": (NotFound, lambda scope, theirs: models.get(scope, theirs.model)),
    "models.resolve": (NotFound, lambda scope, theirs: models.resolve(scope, "their-alias")),
    "models.delete": (NotFound, lambda scope, theirs: models.delete(scope, theirs.model)),
    "keys.get": (NotFound, lambda scope, theirs: keys.get(scope, theirs.key)),
    "keys.living": (NotFound, lambda scope, theirs: keys.living(scope, theirs.key)),
    "keys.expire": (NotFound, lambda scope, theirs: keys.expire(scope, theirs.key, seconds=9, actor="a")),
    "keys.revoke": (NotFound, lambda scope, theirs: keys.revoke(scope, theirs.key)),
    "chats.get": (NotFound, lambda scope, theirs: chats.get(scope, CHAT)),
    "chats.label": (NotFound, lambda scope, theirs: chats.label(scope, CHAT, {"a": "b"})),
    "chats.delete": (NotFound, lambda scope, theirs: chats.delete(scope, CHAT)),
    "responses.get": (NotFound, lambda scope, theirs: responses.get(scope, RESPONSE)),
    "responses.cancel": (NotFound, lambda scope, theirs: responses.cancel(scope, RESPONSE)),
    "responses.delete": (NotFound, lambda scope, theirs: responses.delete(scope, RESPONSE)),
    "responses.history": (InvalidRequest, lambda scope, theirs: responses.history(scope, RESPONSE)),
    "conversations.get": (NotFound, lambda scope, theirs: conversations.get(scope, TALK.id)),
    "conversations.change": (NotFound, lambda scope, theirs: conversations.change(scope, TALK)),
    "conversations.delete": (NotFound, lambda scope, theirs: conversations.delete(scope, TALK.id)),
    "conversations.history": (InvalidRequest, lambda scope, theirs: conversations.history(scope, TALK)),
    "conversations.find": (InvalidRequest, lambda scope, theirs: conversations.find(scope, TALK, "msg_a")),
    "conversations.add": (
        InvalidRequest,
        lambda scope, theirs: conversations.add(scope, TALK, [], brought=["a"]),
    ),
    "conversations.remove": (
        InvalidRequest,
        lambda scope, theirs: conversations.remove(scope, TALK, "msg_a"),
    ),
    "permissions.owned": (NotFound, lambda scope, theirs: permissions.owned(scope, theirs.model)),
    "permissions.grant": (NotFound, lambda s, theirs: permissions.grant(s, theirs.model, ["x"], actor="a")),
    "permissions.page": (NotFound, lambda scope, theirs: permissions.page(scope, theirs.model)),
    "permissions.revoke": (NotFound, lambda s, theirs: permissions.revoke(s, theirs.model, "x", actor="a")),
    "service_accounts.get": (NotFound, lambda scope, theirs: service_accounts.get(scope, theirs.account)),
    "service_accounts.change": (
        NotFound,
        lambda s, theirs: service_accounts.change(s, theirs.account, name="y", role="owner", actor="a"),
    ),
    "service_accounts.delete": (
        NotFound,
        lambda scope, theirs: service_accounts.delete(scope, theirs.account, actor="a"),
    ),
    "outbox.get": (NotFound, lambda scope, theirs: outbox.get(scope, "evt_none")),
    "webhooks.get": (NotFound, lambda scope, theirs: webhooks.get(scope, theirs.endpoint)),
    "webhooks.change": (
        NotFound,
        lambda s, theirs: webhooks.change(s, theirs.endpoint, {"name": "y"}, actor="a"),
    ),
    "webhooks.rotate": (
        NotFound,
        lambda scope, theirs: webhooks.rotate(scope, theirs.endpoint, "whsec_", keep_old=True, actor="a"),
    ),
    "webhooks.delete": (NotFound, lambda scope, theirs: webhooks.delete(scope, theirs.endpoint, actor="a")),
    "work.require": (FenceLost, lambda s, theirs: work.require(s, theirs.claim.subject, theirs.claim.fence)),
    "work.hand_on": (FenceLost, lambda scope, theirs: work.hand_on(scope, theirs.claim, "stolen")),
}
EMPTY: dict[str, tuple[object, Callable[[Scope, Theirs], object]]] = {
    "conversations.removed": ([], lambda scope, theirs: conversations.removed(scope, TALK.id)),
    "files.find": (None, lambda scope, theirs: files.find(scope, theirs.file)),
    "files.batches_with": ([], lambda scope, theirs: files.batches_with(scope, theirs.file)),
    "files.models_from": ([], lambda scope, theirs: files.models_from(scope, theirs.file)),
    "uploads.of_upload": ([], lambda scope, theirs: uploads.of_upload(scope, theirs.upload)),
    "batches.page": ([], lambda scope, theirs: batches.page(scope).data),
    "batches.answered": (set(), lambda scope, theirs: batches.answered(scope, theirs.batch.subject)),
    "batches.results": (
        [],
        lambda scope, theirs: batches.results(scope, theirs.batch.subject, good=False, limit=9),
    ),
    "evals.find": (None, lambda scope, theirs: evals.find(scope, theirs.run.eval_id)),
    "evals.page": ([], lambda scope, theirs: evals.page(scope).data),
    "eval_runs.going_on": ([], lambda scope, theirs: eval_runs.going_on(scope)),
    "eval_runs.find": (None, lambda scope, theirs: eval_runs.find(scope, theirs.run.id)),
    "eval_runs.page": ([], lambda scope, theirs: eval_runs.page(scope, theirs.run.eval_id).data),
    "eval_items.page": ([], lambda scope, theirs: eval_items.page(scope, theirs.run.id).data),
    "eval_items.clear": (None, lambda scope, theirs: eval_items.clear(scope, theirs.run.id)),
    "eval_items.waiting": (
        [],
        lambda scope, theirs: eval_items.waiting(scope, theirs.run.id, after=-1, limit=9),
    ),
    "eval_items.settle": (None, lambda scope, theirs: eval_items.settle(scope, theirs.run.id, [])),
    "files.page": ([], lambda scope, theirs: files.page(scope).data),
    "jobs.page": ([], lambda scope, theirs: jobs.page(scope, metadata={"colour": "red"}).data),
    "jobs.using_file": ([], lambda scope, theirs: jobs.using_file(scope, theirs.file)),
    "events.metrics": ([], lambda scope, theirs: events.metrics(scope, theirs.job)),
    "checkpoints.exists": (False, lambda scope, theirs: checkpoints.exists(scope, theirs.job, 1)),
    "checkpoints.delete": (None, lambda scope, theirs: checkpoints.delete(scope, theirs.checkpoint.id)),
    "models.find": (None, lambda scope, theirs: models.find(scope, theirs.model)),
    "models.page": ([], lambda scope, theirs: models.page(scope).data),
    "models.alias_target": (None, lambda scope, theirs: models.alias_target(scope, "their-alias")),
    "jobs.going_on": ([], lambda scope, theirs: jobs.going_on(scope)),
    "batches.going_on": ([], lambda scope, theirs: batches.going_on(scope)),
    "responses.going_on": ([], lambda scope, theirs: responses.going_on(scope)),
    "archiving.stop": (None, lambda scope, theirs: archiving.stop(scope, actor="a")),
    "work.remove_all": (None, lambda scope, theirs: work.remove_all(scope)),
    "outbox.settle": (None, lambda scope, theirs: outbox.settle(scope, theirs.claim)),
    "service_accounts.page": ([], lambda scope, theirs: service_accounts.page(scope).data),
    "webhooks.find": (None, lambda scope, theirs: webhooks.find(scope, theirs.endpoint)),
    "webhooks.page": ([], lambda scope, theirs: webhooks.page(scope).data),
    "webhooks.told_of": ([], lambda scope, theirs: webhooks.told_of(scope, "t")),
    "keys.page": ([], lambda scope, theirs: keys.page(scope).data),
    "keys.other_owners": (False, lambda scope, theirs: keys.other_owners(scope, "")),
    "audit.page": ([], lambda scope, theirs: audit.page(scope, subject=theirs.job).data),
    "responses.completed": ([], lambda scope, theirs: responses.completed(scope, after=0, limit=9)),
    "responses.find": (None, lambda scope, theirs: responses.find(scope, RESPONSE)),
    "chats.page": ([], lambda scope, theirs: chats.page(scope, metadata={"colour": "red"}).data),
    "idempotency.replay": (None, lambda scope, theirs: idempotency.replay(scope, theirs.attempt)),
    "work.came_further": (
        None,
        lambda s, theirs: work.came_further(s, theirs.claim.subject, theirs.claim.fence),
    ),
    "work.holds": (False, lambda s, theirs: work.holds(s, theirs.claim.subject, theirs.claim.fence)),
    "work.finish": (None, lambda scope, theirs: work.finish(scope, theirs.claim)),
    "work.remove": (None, lambda scope, theirs: work.remove(scope, theirs.job)),
    "work.enqueue": (None, lambda scope, theirs: work.enqueue(scope, theirs.job, "stolen")),
}
# These name nothing that exists: they add a row of the caller's own, or are a step of one that is tested above.
OWN = {
    "files.insert",
    "uploads.insert",
    "uploads.end",
    "batches.insert",
    "batches.write",
    "batches.of",
    "evals.insert",
    "evals.one",
    "eval_runs.insert",
    "eval_runs.write",
    "eval_runs.one",
    "eval_items.add",
    "eval_items.keep",
    "eval_items.of",
    "jobs.insert",
    "models.insert",
    "keys.insert",
    "audit.record",
    "chats.insert",
    "responses.insert",
    "responses.finish",
    "conversations.insert",
    "chats.one",
    "outbox.add",
    "idempotency.remember",
    "projects.organization",
    "projects.rename",
    "archiving.archive",
    "prices.put",  # the organisation's, as its projects are
    "prices.delete",
    "webhooks.insert",
    "service_accounts.insert",
    "service_accounts.living",
    "service_accounts.keys_of",
    "service_accounts.refuse_last_owner",
    "permissions.check",
    "permissions.mine",
    "permissions.shared_with",
    "keys.mine",
    "keys.take_turn",
    "jobs.want",
    "jobs.hold_files",
    "jobs.write",
    "events.write",
    "events.known_steps",
    "moves.ending",
    "models.visible",
    "idempotency.same",
    "idempotency.take_turn",
}


def functions_of_a_scope() -> Iterator[str]:
    for info in pkgutil.iter_modules(afina.store.__path__):
        module = importlib.import_module(f"afina.store.{info.name}")
        for name, function in inspect.getmembers(module, inspect.isfunction):
            first = next(iter(inspect.signature(function).parameters), "")
            own = function.__module__ == module.__name__
            if own and get_type_hints(function).get(first) is Scope:
                yield f"{info.name}.{name}"


def test_every_function_of_a_scope_is_known_here():
    assert set(functions_of_a_scope()) == set(MISSING) | set(EMPTY) | OWN


def everything(database: Database, project: str) -> dict[str, list[tuple[object, ...]]]:
    """All rows of a project, table by table; leases, which the clock moves, are among them as they are."""
    with database.system(read=True) as system:
        return {
            table.name: [
                tuple(row)
                for row in system.connection.execute(select(table).where(table.c.project_id == project))
            ]
            for table in metadata.sorted_tables
            if "project_id" in table.c
        }


def test_another_project_sees_and_changes_nothing(
    database: Database, project: str, other: str, theirs: Theirs
):
    before = everything(database, project)
    assert all(before.values()), "the first project has a row in every table"
    for name, (error, call) in MISSING.items():
        with pytest.raises(error), database.scope(other) as scope:
            pytest.fail(f"{name} answered {call(scope, theirs)}")
        assert everything(database, project) == before, name
    for name, (nothing, call) in EMPTY.items():
        with database.scope(other) as scope:
            assert call(scope, theirs) == nothing, name
        assert everything(database, project) == before, name


@pytest.mark.parametrize("get", [files.get, jobs.get, models.get, keys.get])
def test_a_foreign_id_answers_as_a_missing_one(database: Database, other: str, theirs: Theirs, get):
    foreign = {files.get: theirs.file, jobs.get: theirs.job, models.get: theirs.model, keys.get: theirs.key}[
        get
    ]
    absent = foreign[:-1] + "_"
    with database.read(other) as scope:
        with pytest.raises(NotFound) as one:
            get(scope, foreign)
        with pytest.raises(NotFound) as two:
            get(scope, absent)
    assert one.value.message.replace(foreign, "") == two.value.message.replace(absent, "")
    assert (one.value.param, one.value.code) == (two.value.param, two.value.code)


def test_a_job_cannot_be_made_of_a_foreign_file(database: Database, other: str, theirs: Theirs, new_job):
    with pytest.raises(InvalidRequest, match="No such File object"), database.scope(other) as scope:
        new_job(scope, training_file=theirs.file)


def test_what_is_added_belongs_to_the_scope_whatever_it_says(
    database: Database, project: str, other: str, theirs: Theirs, new_file
):
    with database.scope(other) as scope:
        file = new_file(scope, project_id=project)
        outbox.add(scope, "test", "subject")
        audit.record(scope, "test", "subject", actor="test")
        assert file.project_id == other
        assert projects.organization(scope).id == scope.organization_id
    with database.system(read=True) as system:
        query = text(
            "SELECT project_id FROM outbox WHERE type = 'test' UNION SELECT project_id FROM files WHERE id = :id"
        )
        assert system.connection.execute(query, {"id": file.id}).scalars().all() == [other]
