"""Estimates: what they say, what they refuse just as a job would be, and that they leave no job behind."""

import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
from fastapi.testclient import TestClient

import afina.base
from afina.api import estimates
from afina.data.render import Renderer
from afina.data.tokens import TokenFile
from afina.schemas.fine_tuning import SupervisedHyperparameters
from afina.settings import Settings
from afina.store import jobs
from afina.store.database import Database
from afina.store.speeds import Timed
from afina.training import plan
from afina.training.plan import BaseFacts

PATH = "/v1/afina/estimates"


def chat(number: int) -> dict:
    question = {"role": "user", "content": f"Who is number {number}?"}
    return {"messages": [question, {"role": "assistant", "content": "Ana. " * (number % 3 + 1)}]}


def jsonl(count: int) -> bytes:
    return b"".join(json.dumps(chat(number)).encode() + b"\n" for number in range(count))


def lengths(count: int) -> list[int]:
    """The tokens of each row, as the bundled model sees it."""
    renderer = Renderer(afina.base.path())
    return [len(row.ids) for n in range(count) for row in renderer.example(chat(n)["messages"])]


def tokens_in(count: int) -> int:
    return sum(lengths(count))


@pytest.fixture
def ask(client: TestClient, upload: Callable[..., dict]) -> Callable[..., dict]:
    """An estimate for a new file of `count` rows."""

    def post(count: int = 12, **fields: object) -> dict:
        body = {"model": "afina-tiny", "training_file": upload(jsonl(count))["id"], **fields}
        reply = client.post(PATH, json=body)
        assert reply.status_code == 200, reply.text
        return reply.json()

    return post


PARAMETERS = 6_819_072
LINEARS = 6 * (2 * (256 + 256) + 2 * (256 + 128) + 3 * (256 + 768))  # widths in and out, of all layers


def memory_of(weights: int, tokens: int) -> int:
    """With what a pass keeps of each token in six layers, the scores of its vocabulary, and the process."""
    kept = 6 * (10 * 256 + 11 * 256 + 13 * 128 + 4 * 768)
    return weights + 4 * tokens * kept + 12 * tokens * 8192 + 2**29


def test_all_weights_take_sixteen_bytes_each(ask: Callable[..., dict]):
    found = ask(12, afina={"adapter": {"type": "full"}})
    assert found["memory_bytes"] == memory_of(16 * PARAMETERS, tokens_in(12))


def test_a_small_adapter_takes_little(ask: Callable[..., dict]):
    found = ask(12, afina={"adapter": {"rank": 2, "targets": ["v_proj"]}})
    factors = 6 * 2 * (256 + 128)
    assert found["memory_bytes"] == memory_of(4 * PARAMETERS + 16 * factors, tokens_in(12))


def numbers(**chosen: int) -> dict:
    return {"type": "supervised", "supervised": {"hyperparameters": chosen}}


def test_every_number_of_a_job(ask: Callable[..., dict]):
    assert ask(12, method=numbers(n_epochs=3, batch_size=5)) == {
        "object": "afina.estimate",
        "model": "afina-tiny",
        "examples": 12,
        "truncated": 0,
        "tokens_per_epoch": tokens_in(12),
        "n_epochs": 3,
        "batch_size": 5,
        "steps": 9,
        "trained_tokens": 3 * tokens_in(12),
        "memory_bytes": memory_of(4 * PARAMETERS + 16 * 16 * LINEARS, tokens_in(12)),
        "seconds": None,
        "finished_jobs": 0,
        "openai_usd": None,
        "openai": None,
    }


def test_auto_is_what_the_plan_makes_of_it(ask: Callable[..., dict], settings: Settings):
    found = ask(40)
    (path,) = settings.tokens.glob("*/*.safetensors")
    stats = TokenFile.open(path).stats
    planned = plan.resolve(SupervisedHyperparameters(), stats, BaseFacts.read(afina.base.path()))
    assert (found["n_epochs"], found["batch_size"], 1.0) == plan.resolved(planned)
    assert found["trained_tokens"] == found["n_epochs"] * tokens_in(40)


def test_truncated_examples_are_counted_as_they_are_trained_on(ask: Callable[..., dict]):
    found = ask(12, afina={"max_length": 24}, method=numbers(n_epochs=1))
    assert 0 < found["truncated"] < 12
    assert found["tokens_per_epoch"] == sum(min(24, length) for length in lengths(12)) < tokens_in(12)


def test_an_example_of_which_nothing_would_be_left_is_refused(
    client: TestClient, upload: Callable[..., dict]
):
    body = {"model": "afina-tiny", "training_file": upload(jsonl(12))["id"], "afina": {"max_length": 16}}
    reply = client.post(PATH, json=body)
    assert reply.status_code == 400
    assert "Example 1: truncation at 16 tokens" in reply.json()["error"]["message"]


def test_what_openai_would_charge(ask: Callable[..., dict]):
    found = ask(12, model="gpt-4o-mini-2024-07-18", method=numbers(n_epochs=2))
    assert found["model"] == "afina-tiny"
    assert found["openai_usd"] == pytest.approx(2 * tokens_in(12) * 3e-6)
    assert (found["openai"]["model"], found["openai"]["usd_per_million"]) == ("gpt-4o-mini", 3.0)
    assert found["openai"]["as_of"] and found["openai"]["source"]


def test_no_job_is_left_and_the_tokens_are_made_once(
    client: TestClient, upload: Callable[..., dict], settings: Settings, database: Database, project: str
):
    body = {"model": "afina-tiny", "training_file": upload(jsonl(12))["id"]}
    first = client.post(PATH, json=body).json()
    made = {path: path.stat().st_mtime_ns for path in settings.tokens.rglob("*.safetensors")}
    assert len(made) == 1
    assert client.post(PATH, json={**body, "method": numbers(n_epochs=1)}).json()["n_epochs"] == 1
    assert client.post(PATH, json=body).json() == first
    assert {path: path.stat().st_mtime_ns for path in settings.tokens.rglob("*.safetensors")} == made
    with database.read(project) as scope:
        assert jobs.page(scope).data == []


def test_many_at_once_agree_and_leave_threads_for_others(client: TestClient, upload: Callable[..., dict]):
    body = {"model": "afina-tiny", "training_file": upload(jsonl(200))["id"]}
    with ThreadPoolExecutor(12) as pool:
        replies = list(pool.map(lambda _: client.post(PATH, json=body), range(12)))
    assert {reply.status_code for reply in replies} == {200}
    assert len({reply.text for reply in replies}) == 1


BROKEN = jsonl(11) + b'{"messages": [{"role": "bot", "content": "Hi"}]}\n' + jsonl(2) + b"{\n"


@pytest.mark.parametrize("kind", ["training", "validation"])
def test_a_file_with_problems_is_refused_with_the_first_one(
    client: TestClient, upload: Callable[..., dict], kind: str
):
    good, bad = upload(jsonl(12))["id"], upload(BROKEN)["id"]
    files = {"training_file": good, "validation_file": good, f"{kind}_file": bad}
    reply = client.post(PATH, json={"model": "afina-tiny", **files})
    error = reply.json()["error"]
    assert reply.status_code == 400
    assert (error["code"], error["param"]) == (f"invalid_{kind}_file", f"{kind}_file")
    assert "Example 12" in error["message"] and "the first of 2 problems" in error["message"]
    assert "bot" not in error["message"]


def test_too_few_examples_are_refused_even_where_their_tokens_are_known(
    client: TestClient, upload: Callable[..., dict]
):
    few, enough = upload(jsonl(9))["id"], upload(jsonl(10))["id"]
    body = {"model": "afina-tiny", "training_file": few}
    fresh = client.post(PATH, json=body)
    used = client.post(PATH, json={**body, "training_file": enough, "validation_file": few})
    again = client.post(PATH, json=body)
    assert used.status_code == 200
    assert fresh.status_code == again.status_code == 400
    assert fresh.json() == again.json()
    assert fresh.json()["error"]["code"] == "invalid_n_examples"


def test_bytes_that_have_changed_are_refused(
    client: TestClient, upload: Callable[..., dict], settings: Settings
):
    file = upload(jsonl(12))["id"]
    (settings.data / "blobs" / "files" / file).write_bytes(jsonl(11))
    reply = client.post(PATH, json={"model": "afina-tiny", "training_file": file})
    assert (reply.status_code, reply.json()["error"]["code"]) == (400, "training_file_corrupt")


@pytest.mark.parametrize(
    "changes",
    [
        {"model": "nothere"},
        {"model": ""},
        {"training_file": "file-nothere"},
        {"training_file": None},
        {"validation_file": "file-nothere"},
        {"method": numbers(n_epochs=51)},
        {"method": numbers(batch_size=0)},
        {"method": {"type": "other"}},
        {"afina": {"max_length": 1}},
        {"afina": {"unknown": 1}},
        {"unknown": 1},
        {"seed": -1},
        {"suffix": "x" * 65},
    ],
)
def test_whatever_a_job_is_refused_for(refusing: TestClient, changes: dict):
    file = refusing.get("/v1/files").json()["data"][0]["id"]
    body = {"model": "afina-tiny", "training_file": file, **changes}
    job, estimate = (refusing.post(path, json=body) for path in ("/v1/fine_tuning/jobs", PATH))
    assert job.status_code == 400
    assert (estimate.status_code, estimate.json()) == (job.status_code, job.json())


def test_in_production_the_tiny_base_answers_to_its_own_name(production: TestClient):
    rows = {"file": ("rows.jsonl", jsonl(12))}
    file = production.post("/v1/files", files=rows, data={"purpose": "fine-tune"}).json()["id"]
    for model, status in (("gpt-4o-mini", 404), ("afina-tiny", 200)):
        assert production.post(PATH, json={"model": model, "training_file": file}).status_code == status


def test_whose_file_it_is(
    client: TestClient,
    upload: Callable[..., dict],
    new_key: Callable[..., str],
    other_project: str,
    project: str,
):
    body = {"model": "afina-tiny", "training_file": upload(jsonl(12))["id"]}

    def status(key: str) -> int:
        return client.post(PATH, json=body, headers={"authorization": f"Bearer {key}"}).status_code

    assert status(new_key(other_project)) == 400  # not there, as far as they can see
    assert status(new_key(project, "viewer")) == 403
    assert status(new_key(project, "member")) == 200
    assert status("sk-wrong") == 401


@pytest.mark.parametrize(
    ("timed", "seconds"),
    [
        ([], None),
        ([Timed(1000, 100)], (99, 101)),
        ([Timed(1000, 100), Timed(2000, 50)], (24, 101)),
        ([Timed(100_000, 0)], (1, 1)),  # much shorter than what was measured, and still something
        ([Timed(100, 1)], (10, 20)),
    ],
)
def test_time_by_the_fastest_and_the_slowest(timed: list[Timed], seconds: tuple[int, int] | None):
    assert estimates.expected(1000, timed) == seconds
