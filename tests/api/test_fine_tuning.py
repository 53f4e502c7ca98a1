"""Jobs: what is refused at once, what is written down, and what a client reads back."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import openai
import pytest
from fastapi.testclient import TestClient
from sqlalchemy import text

import tiny_base
from afina.api.app import create_app
from afina.schemas.files import FileObject
from afina.schemas.models import Model
from afina.store import files, jobs, models, work
from afina.store.database import Database
from afina.training.plan import BaseFacts

JOBS = "/v1/fine_tuning/jobs"
KEY = "sk-owner"
ROW = b'{"messages": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello."}]}\n'


def test_others_may_write_while_the_base_is_read(
    client: TestClient, create: Callable[..., dict], monkeypatch: pytest.MonkeyPatch
):
    turn, read, busy = client.app.state.rooms.database.turn, BaseFacts.read, list[bool]()

    def look(folder: Path) -> BaseFacts:
        busy.append(turn.locked())
        return read(folder)

    monkeypatch.setattr(BaseFacts, "read", look)
    assert create(afina={"adapter": {"rank": 4}})["afina"]["adapter"]["rank"] == 4
    assert busy == [False]


def test_the_official_client_from_create_to_cancel(official: openai.OpenAI):
    train = official.files.create(file=("rows.jsonl", b'{"messages": []}\n'), purpose="fine-tune")
    job = official.fine_tuning.jobs.create(
        model="gpt-4o-mini-2024-07-18",
        training_file=train.id,
        validation_file=train.id,
        suffix="my-model",
        seed=7,
        metadata={"who": "test"},
        integrations=[{"type": "wandb", "wandb": {"project": "p", "tags": ["a"]}}],
        method={"type": "supervised", "supervised": {"hyperparameters": {"n_epochs": 4}}},
    )
    assert (job.model, job.status, job.seed) == ("afina-tiny", "validating_files", 7)
    assert job.fine_tuned_model is job.error is job.trained_tokens is job.finished_at is None
    assert (
        job.result_files == [] and job.metadata == {"who": "test"} and job.organization_id.startswith("org-")
    )
    assert job.hyperparameters.n_epochs == 4 and job.hyperparameters.batch_size == "auto"
    assert job.method and job.method.supervised and job.method.supervised.hyperparameters
    assert job.method.supervised.hyperparameters.n_epochs == 4
    assert job.integrations and job.integrations[0].wandb.project == "p"
    assert official.fine_tuning.jobs.retrieve(job.id) == job
    said = list(official.fine_tuning.jobs.list_events(job.id))[::-1]
    assert said[0].message == f"Created fine-tuning job: {job.id}" and said[0].level == "info"
    assert [event.level for event in said[1:]] == ["warn"] * 3 and "afina-tiny" in said[1].message
    assert official.fine_tuning.jobs.checkpoints.list(job.id).data == []
    assert official.fine_tuning.jobs.cancel(job.id).status == "cancelled"
    with pytest.raises(openai.BadRequestError, match="already been cancelled") as refusal:
        official.fine_tuning.jobs.cancel(job.id)
    assert refusal.value.code == "invalid_state" and refusal.value.request_id


def test_the_work_is_asked_for_with_the_job(create: Callable[..., dict], database: Database):
    job = create()
    with database.system() as system:
        claim = work.claim(system, "me", ["validate"], lease_seconds=5)
    assert claim is not None and claim.subject == job["id"]


def test_a_seed_is_chosen_and_numbers_are_auto(create: Callable[..., dict]):
    job = create()
    auto = {"n_epochs": "auto", "batch_size": "auto", "learning_rate_multiplier": "auto"}
    assert 0 <= job["seed"] < 2**31 and job["hyperparameters"] == auto
    assert job["method"] == {"type": "supervised", "supervised": {"hyperparameters": auto}}
    usual = {"type": "lora", "rank": 16, "alpha": 32.0, "rslora": False, "targets": None}
    assert job["afina"]["adapter"] == usual
    assert job["afina"]["total_steps"] is None


def test_the_method_comes_before_the_deprecated_numbers(create: Callable[..., dict]):
    method = {
        "type": "supervised",
        "supervised": {"hyperparameters": {"n_epochs": 2}},
        "dpo": {},
        "reinforcement": {},
    }
    job = create(hyperparameters={"n_epochs": 9, "batch_size": 4}, method=method)
    assert job["hyperparameters"] == {"n_epochs": 2, "batch_size": 4, "learning_rate_multiplier": "auto"}


@pytest.mark.parametrize(
    ("fields", "param", "code", "words"),
    [
        (
            {"afina": {"adapter": {"rank": 0}}},
            "afina.adapter.rank",
            "invalid_value",
            "greater than or equal to 1",
        ),
        ({"afina": {"lora": 1}}, "afina.lora", "unknown_parameter", ""),
        ({"afina": {"adapter": {"dora": True}}}, "afina.adapter.dora", "unknown_parameter", ""),
        ({"afina": {"adapter": {"rslora": 1}}}, "afina.adapter.rslora", "invalid_type", "a boolean"),
        ({"afina": {"adapter": {"type": "half"}}}, "afina.adapter.type", "invalid_value", "'lora', 'full'"),
        ({"afina": {"adapter": {"type": "full", "rank": 4}}}, "afina.adapter.rank", "unknown_parameter", ""),
        ({"afina": {"adapter": "full"}}, "afina.adapter", "invalid_type", "an object"),
        ({"afina": {"adapter": {"targets": []}}}, "afina.adapter.targets", "invalid_value", "at least 1"),
        (
            {"afina": {"adapter": {"targets": ["q_proj", "c_attn"]}}},
            "afina.adapter.targets",
            "invalid_value",
            "no linear layers named c_attn; it has q_proj, k_proj, v_proj, o_proj, gate_proj, up_proj, down_proj.",
        ),
    ],
)
def test_what_is_ours_in_a_job_is_checked_at_once(
    refusing: TestClient, fields: dict, param: str, code: str | None, words: str
):
    good = refusing.get("/v1/files").json()["data"][0]["id"]
    reply = refusing.post(JOBS, json={"model": "afina-tiny", "training_file": good, **fields})
    error = reply.json()["error"]
    assert (reply.status_code, error["param"]) == (400, param), error
    assert words in error["message"] and code in (None, error["code"]), error
    assert refusing.get(JOBS).json()["data"] == []


def test_a_rank_above_the_width_of_the_base_is_refused(
    client: TestClient, upload: Callable[..., dict], database: Database, tmp_path: Path
):
    source = str(tiny_base.make(tmp_path / "narrow"))
    base = Model(id="narrow", created=1, owned_by="operator", kind="base", base="narrow", source=source)
    with database.system() as system:
        models.register(system, base)
    body = {"model": "narrow", "training_file": upload()["id"]}
    for path in (JOBS, "/v1/afina/estimates"):
        reply = client.post(path, json={**body, "afina": {"adapter": {"rank": 17}}})
        assert (reply.status_code, reply.json()["error"]["param"]) == (400, "afina.adapter.rank")
        words = "it is 17, and this base model is 16 wide; choose a rank between 1 and 16."
        assert words in reply.json()["error"]["message"]
    assert client.post(JOBS, json={**body, "afina": {"adapter": {"rank": 16}}}).status_code == 200


def test_a_number_that_is_none_is_refused(client: TestClient):
    body = (
        '{"model": "afina-tiny", "training_file": "f", "hyperparameters": {"learning_rate_multiplier": NaN}}'
    )
    reply = client.post(JOBS, content=body, headers={"content-type": "application/json"})
    assert reply.status_code == 400 and "not a finite number" in reply.json()["error"]["message"]


def test_a_file_for_something_else_or_over_is_refused(
    client: TestClient, upload: Callable[..., dict], database: Database, project: str
):
    other = upload(purpose="assistants")
    reply = client.post(JOBS, json={"model": "afina-tiny", "training_file": other["id"]})
    assert reply.status_code == 400 and "File purpose must be 'fine-tune'" in reply.json()["error"]["message"]
    over = FileObject(
        id="file-over", bytes=1, created_at=1, expires_at=2, filename="a.jsonl", purpose="fine-tune"
    )
    with database.scope(project) as scope:
        files.insert(scope, over)
    reply = client.post(JOBS, json={"model": "afina-tiny", "training_file": "file-over"})
    assert reply.status_code == 400 and "expired" in reply.json()["error"]["message"]


def test_bad_rows_never_fail_the_request(client: TestClient, upload: Callable[..., dict]):
    reply = client.post(JOBS, json={"model": "afina-tiny", "training_file": upload(b"not json\n")["id"]})
    assert reply.status_code == 200 and reply.json()["status"] == "validating_files"


def test_a_job_may_continue_a_tuned_model(
    client: TestClient,
    create: Callable[..., dict],
    upload: Callable[..., dict],
    database: Database,
    project: str,
):
    shape = {
        "type": "lora",
        "rank": 8,
        "alpha": 8.0,
        "rslora": True,
        "targets": ["v_proj", "q_proj", "v_proj"],
    }
    job = create(afina={"adapter": shape})
    tuned = Model(
        id="ft:afina-tiny:personal::abcd1234",
        created=1,
        owned_by="personal",
        kind="tuned",
        base="afina-tiny",
        key="k1",
        job_id=job["id"],
    )
    with database.scope(project) as scope:
        models.insert(scope, tuned)
    body = {"model": tuned.id, "training_file": upload()["id"]}
    second = client.post(JOBS, json=body).json()
    assert second["model"] == "afina-tiny"
    assert second["afina"]["adapter"] == shape | {"targets": ["q_proj", "v_proj"]}
    assert second["afina"]["start"] == tuned.id
    assert client.post(JOBS, json={**body, "afina": {"adapter": shape}}).status_code == 200
    for other in ({"rank": 4}, {"targets": ["q_proj"]}, {"rslora": False}):
        refused = client.post(JOBS, json={**body, "afina": {"adapter": shape | other}})
        assert refused.status_code == 400 and refused.json()["error"]["param"] == "afina.adapter"
    refused = client.post(JOBS, json={**body, "afina": {"adapter": {"type": "full"}}})
    assert refused.status_code == 400 and refused.json()["error"]["param"] == "afina.adapter.type"
    assert f"{tuned.id} is an adapter" in refused.json()["error"]["message"]


def test_in_production_the_demonstration_model_takes_no_other_name(
    production: TestClient, client: TestClient, upload: Callable[..., dict]
):
    file = upload()["id"]
    reply = production.post(JOBS, json={"model": "gpt-4o-mini", "training_file": file})
    assert reply.status_code == 404 and reply.json()["error"]["code"] == "model_not_found"
    assert "demonstration model afina-tiny" in reply.json()["error"]["message"]
    assert production.post(JOBS, json={"model": "afina-tiny", "training_file": file}).status_code == 200


def test_one_wish_is_one_job(
    client: TestClient, upload: Callable[..., dict], database: Database, project: str
):
    body = {"model": "afina-tiny", "training_file": upload()["id"]}

    def post(headers: dict[str, str]) -> dict:
        return client.post(JOBS, json=body, headers=headers).json()

    with ThreadPoolExecutor(8) as pool:
        made = list(pool.map(lambda _: post({"idempotency-key": "same"})["id"], range(24)))
    assert len(set(made)) == 1
    first, second = post({}), post({})
    assert first["id"] != second["id"], "two first attempts are two wishes"
    assert post({"x-stainless-retry-count": "1"})["id"] == second["id"], "a retry is not a third"
    with database.read(project) as scope:
        assert len(jobs.page(scope).data) == 3
    reply = client.post(JOBS, json={**body, "seed": 1}, headers={"idempotency-key": "same"})
    assert (reply.status_code, reply.json()["error"]["code"]) == (400, "idempotency_key_reused")
    reply = client.post(JOBS, json=body, headers={"idempotency-key": "k" * 256})
    assert (reply.status_code, reply.json()["error"]["code"]) == (400, "invalid_idempotency_key")


def test_a_file_in_use_stays(client: TestClient, create: Callable[..., dict]):
    job = create()
    reply = client.delete(f"/v1/files/{job['training_file']}")
    assert (reply.status_code, reply.json()["error"]["code"]) == (400, "file_in_use")
    assert job["id"] in reply.json()["error"]["message"]
    client.post(f"{JOBS}/{job['id']}/cancel")
    assert client.delete(f"/v1/files/{job['training_file']}").status_code == 200


@pytest.mark.parametrize(("key", "kinds"), [("", []), ("secret", ["wandb", "wandb"])])
def test_integrations_are_work_of_their_own_where_the_server_has_a_key(settings, database, key, kinds):
    wanted = [{"type": "wandb", "wandb": {"project": "p"}}, {"type": "wandb", "wandb": {"project": "q"}}]
    app = create_app(replace(settings, wandb_api_key=key))
    with TestClient(app, headers={"authorization": f"Bearer {KEY}"}) as opened:
        file = opened.post(
            "/v1/files", files={"file": ("a.jsonl", ROW * 10)}, data={"purpose": "fine-tune"}
        ).json()
        body = {"model": "afina-tiny", "training_file": file["id"], "integrations": wanted}
        job = opened.post("/v1/fine_tuning/jobs", json=body).json()
        events = opened.get(f"/v1/fine_tuning/jobs/{job['id']}/events").json()["data"]
    assert [one["wandb"]["project"] for one in job["integrations"]] == ["p", "q"]
    with database.system(read=True) as system:
        query = text("SELECT kind FROM work WHERE kind = 'wandb'")
        assert list(system.connection.execute(query).scalars()) == kinds
    assert any("AFINA_WANDB_API_KEY" in event["message"] for event in events) == (not key)
