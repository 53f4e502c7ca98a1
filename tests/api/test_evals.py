"""Evals and their runs as clients make, read and end them; what becomes of runs is for the worker's tests."""

import json
import re
from collections.abc import Callable

import openai
import pytest
from fastapi.testclient import TestClient

from afina.api import eval_runs
from afina.evals import data_sources
from afina.graders import sandbox
from afina.schemas.eval_runs import DataSource, ItemResult, Sample
from afina.schemas.evals import Eval
from afina.store import eval_items, evals
from afina.store.database import Database

TEXT = {"type": "string"}
ITEM = {"type": "object", "properties": {"q": TEXT, "a": TEXT}, "required": ["q", "a"]}
EXACT = {
    "type": "string_check",
    "name": "exact",
    "input": "{{ sample.output_text }}",
    "reference": "{{ item.a }}",
    "operation": "eq",
}
JUDGE = {
    "type": "label_model",
    "name": "kind",
    "model": "afina-tiny",
    "input": [{"role": "user", "content": "Is {{ sample.output_text }} kind?"}],
    "labels": ["yes", "no"],
    "passing_labels": ["yes"],
}
WANTED = {"data_source_config": {"type": "custom", "item_schema": ITEM}, "testing_criteria": [EXACT]}
ROW = {"item": {"q": "1 + 1", "a": "2"}, "sample": {"output_text": "2"}}
ROWS = {"type": "file_content", "content": [ROW]}
ASKING = {
    "type": "completions",
    "model": "afina-tiny",
    "source": ROWS,
    "input_messages": {"type": "template", "template": [{"role": "user", "content": "{{ item.q }}"}]},
}


def wanted(**changes: object) -> dict[str, object]:
    return {**WANTED, **changes}


@pytest.fixture
def eval(client: TestClient) -> str:
    reply = client.post("/v1/evals", json=WANTED)
    assert reply.status_code == 200, reply.text
    return reply.json()["id"]


@pytest.fixture
def run(client: TestClient, eval: str) -> dict:
    reply = client.post(f"/v1/evals/{eval}/runs", json={"data_source": {"type": "jsonl", "source": ROWS}})
    assert reply.status_code == 200, reply.text
    return reply.json()


def test_an_eval_has_openais_shape(client: TestClient):
    config = {"type": "custom", "item_schema": ITEM, "include_sample_schema": True}
    made = client.post("/v1/evals", json=wanted(data_source_config=config, metadata={"a": "b"})).json()
    assert re.fullmatch(r"eval_\w{24}", made.pop("id")) and isinstance(made.pop("created_at"), int)
    schema = made["data_source_config"].pop("schema")
    assert schema["properties"]["item"] == ITEM and schema["required"] == ["item", "sample"]
    assert "output_text" in schema["properties"]["sample"]["properties"]
    assert made == {
        "object": "eval",
        "name": "Untitled",
        "data_source_config": {"type": "custom"},
        "testing_criteria": [EXACT],
        "metadata": {"a": "b"},
    }


@pytest.mark.parametrize("kind", ["logs", "stored_completions"])
def test_an_eval_of_what_was_kept(client: TestClient, kind: str):
    config = {"type": kind, "metadata": {"use": "chat"}}
    made = client.post("/v1/evals", json=wanted(data_source_config=config)).json()["data_source_config"]
    assert (made["type"], made["metadata"]) == (kind, {"use": "chat"})
    assert set(made["schema"]["properties"]) == {"item", "sample"}


def test_the_official_client_round_trip(official: openai.OpenAI):
    made = [official.evals.create(**WANTED, name=name) for name in "abc"]
    assert [each.id for each in official.evals.list(limit=1)] == [each.id for each in made]
    assert [each.name for each in official.evals.list(order="desc")] == ["c", "b", "a"]
    assert official.evals.retrieve(made[0].id).to_dict() == made[0].to_dict()
    changed = official.evals.update(made[0].id, name="d", metadata={"x": "y"})
    assert (changed.name, changed.metadata) == ("d", {"x": "y"})
    assert official.evals.update(made[0].id, name="e").metadata == {"x": "y"}
    assert official.evals.delete(made[1].id).deleted
    assert {each.id for each in official.evals.list()} == {made[0].id, made[2].id}
    with pytest.raises(openai.NotFoundError, match="No eval found with id"):
        official.evals.retrieve(made[1].id)


def test_runs_with_the_official_client(official: openai.OpenAI):
    eval = official.evals.create(**WANTED)
    source = {"type": "jsonl", "source": ROWS}
    made = [official.evals.runs.create(eval.id, name=name, data_source=source) for name in "ab"]
    first = made[0]
    assert (first.status, first.model, first.error.message) == ("queued", "", "")
    assert first.per_testing_criteria_results[0].testing_criteria == "exact"
    base = str(official.base_url).removesuffix("v1/")
    assert first.report_url == f"{base}v1/evals/{eval.id}/runs/{first.id}"
    runs = official.evals.runs
    told = [each.to_dict() for each in made]
    assert [each.to_dict() for each in runs.list(eval.id)] == told
    assert [each.to_dict() for each in runs.list(eval.id, order="desc")] == told[::-1]
    assert runs.retrieve(first.id, eval_id=eval.id).to_dict() == told[0]
    assert runs.cancel(first.id, eval_id=eval.id).status == "canceled"
    assert [each.id for each in runs.list(eval.id, status="canceled")] == [first.id]
    assert list(runs.output_items.list(first.id, eval_id=eval.id)) == []
    assert runs.delete(first.id, eval_id=eval.id).deleted
    with pytest.raises(openai.NotFoundError, match="No eval run found with id"):
        runs.retrieve(first.id, eval_id=eval.id)


def test_a_run_with_a_model_is_named_for_it_and_echoes_its_source(client: TestClient, eval: str):
    params = {
        "temperature": 0.5,
        "seed": 3,
        "max_completion_tokens": 7,
        "response_format": {
            "type": "json_schema",
            "json_schema": {"name": "n", "schema": {"type": "object"}},
        },
        "tools": [{"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}],
    }
    source = {**ASKING, "sampling_params": params}
    made = client.post(f"/v1/evals/{eval}/runs", json={"data_source": source}).json()
    assert (made["name"], made["model"], made["status"]) == ("afina-tiny", "afina-tiny", "queued")
    shown = made["data_source"]
    assert shown["input_messages"] == ASKING["input_messages"] and shown["source"] == ROWS
    assert shown["sampling_params"]["response_format"]["json_schema"]["schema"] == {"type": "object"}


def test_a_run_over_a_file(client: TestClient, eval: str, upload: Callable[..., dict]):
    good = upload(json.dumps(ROW).encode(), name="rows.jsonl", purpose="evals")["id"]
    other = upload()["id"]

    def ask(file: str):
        source = {"type": "jsonl", "source": {"type": "file_id", "id": file}}
        return client.post(f"/v1/evals/{eval}/runs", json={"data_source": source})

    assert ask(good).status_code == 200
    for file, code in (("file-none", "invalid_value"), (other, "invalid_file_purpose")):
        error = ask(file).json()["error"]
        assert (error["param"], error["code"]) == ("data_source.source.id", code)


BAD_EVALS = {
    "no criteria": ({"testing_criteria": []}, "testing_criteria"),
    "no config": ({"data_source_config": None}, "data_source_config"),
    "an unknown config": ({"data_source_config": {"type": "x"}}, "data_source_config.type"),
    "no schema": ({"data_source_config": {"type": "custom"}}, "data_source_config.item_schema"),
    "a type that is none": (
        {"data_source_config": {"type": "custom", "item_schema": {"type": "text"}}},
        "data_source_config.item_schema",
    ),
    "a keyword that is not done": (
        {"data_source_config": {"type": "custom", "item_schema": {"items": {"if": {}}}}},
        "data_source_config.item_schema.items",
    ),
    "multi, which is for reinforcement": (
        {"testing_criteria": [{"type": "multi", "name": "m", "graders": {}, "calculate_output": "1"}]},
        "testing_criteria[0].type",
    ),
    "similarity without a threshold": (
        {
            "testing_criteria": [
                {"type": "text_similarity", "name": "s", "input": "a", "reference": "b"}
                | {"evaluation_metric": "bleu"}
            ]
        },
        "testing_criteria[0].pass_threshold",
    ),
    "a template of something else": (
        {"testing_criteria": [EXACT, {**EXACT, "input": "{{ env.X }}"}]},
        "testing_criteria[1].input",
    ),
    "a label that is none": (
        {"testing_criteria": [{**JUDGE, "passing_labels": ["maybe"]}]},
        "testing_criteria[0].passing_labels",
    ),
    "python that is none": (
        {"testing_criteria": [{"type": "python", "name": "p", "source": "def grade(:"}]},
        "testing_criteria[0].source",
    ),
    "an operation that is none": (
        {"testing_criteria": [{**EXACT, "operation": "regex"}]},
        "testing_criteria[0].operation",
    ),
    "too much metadata": ({"metadata": {str(n): "" for n in range(17)}}, "metadata"),
    "an unknown field": ({"more": 1}, "more"),
}


@pytest.mark.parametrize("name", BAD_EVALS)
def test_an_eval_that_cannot_be(refusing: TestClient, name: str):
    changes, param = BAD_EVALS[name]
    reply = refusing.post("/v1/evals", json=wanted(**changes))
    assert reply.status_code == 400, reply.text
    assert reply.json()["error"]["param"] == param


def test_a_model_that_grades_has_to_be_there(refusing: TestClient):
    reply = refusing.post("/v1/evals", json=wanted(testing_criteria=[{**JUDGE, "model": "ft:nobody"}]))
    assert reply.status_code == 404 and reply.json()["error"]["code"] == "model_not_found"


def test_a_role_that_no_model_knows_is_the_users(client: TestClient):
    judge = {**JUDGE, "input": [{"role": "role", "content": "x"}]}
    made = client.post("/v1/evals", json=wanted(testing_criteria=[judge])).json()
    assert made["testing_criteria"][0]["input"] == [{"role": "user", "content": "x"}]


@pytest.mark.skipif(sandbox.missing() is not None, reason="no boundary here for python graders")
def test_all_criteria_are_echoed(client: TestClient):
    criteria = [
        EXACT,
        JUDGE,
        {"type": "python", "name": "p", "source": "def grade(s, i):\n    return 1", "pass_threshold": 0.2},
        {"type": "text_similarity", "name": "t", "input": "a", "reference": "b"}
        | {"evaluation_metric": "rouge_l", "pass_threshold": 0.8},
        {**{key: JUDGE[key] for key in ("name", "model", "input")}, "type": "score_model", "range": [1, 7]}
        | {"pass_threshold": 5.5, "sampling_params": {"temperature": 0}},
    ]
    reply = client.post("/v1/evals", json=wanted(testing_criteria=criteria))
    assert reply.json()["testing_criteria"] == criteria


SOURCE = {"type": "jsonl", "source": ROWS}
BAD_RUNS = {
    "no source": ({}, "data_source"),
    "an unknown kind": ({"type": "x"}, "data_source.type"),
    "no rows": (
        {"type": "jsonl", "source": {"type": "file_content", "content": []}},
        "data_source.source.content",
    ),
    "a row that does not fit": (
        {"type": "jsonl", "source": {"type": "file_content", "content": [ROW, {"item": {"q": 1}}]}},
        "data_source.source.content[1]",
    ),
    "kept chats for items of one's own": (
        {"type": "completions", "source": {"type": "stored_completions"}},
        "data_source.source.type",
    ),
    "a model without messages": ({**ASKING, "input_messages": None}, "data_source.input_messages"),
    "messages without a model": ({**ASKING, "model": None}, "data_source.model"),
    "neither a model nor a sample": (
        {"type": "completions", "source": {"type": "file_content", "content": [{"item": ROW["item"]}]}},
        "data_source.source.content[0]",
    ),
    "a template that looks into the sample": (
        {
            **ASKING,
            "input_messages": {"type": "template", "template": [{"role": "user", "content": "{{sample.x}}"}]},
        },
        "data_source.input_messages.template",
    ),
    "a template of something else": (
        {
            **ASKING,
            "input_messages": {"type": "template", "template": [{"role": "user", "content": "{{env.x}}"}]},
        },
        "data_source.input_messages.template[0].content",
    ),
    "a reference that is none": (
        {**ASKING, "input_messages": {"type": "item_reference", "item_reference": "q"}},
        "data_source.input_messages.item_reference",
    ),
    "too warm": (
        {**ASKING, "sampling_params": {"temperature": 3}},
        "data_source.sampling_params.temperature",
    ),
    "no tokens": (
        {**ASKING, "sampling_params": {"max_completion_tokens": 0}},
        "data_source.sampling_params.max_completion_tokens",
    ),
}


@pytest.fixture(scope="module")
def refusing_eval(refusing: TestClient) -> str:
    return refusing.post("/v1/evals", json=WANTED).json()["id"]


@pytest.mark.parametrize("name", BAD_RUNS)
def test_a_run_that_cannot_be(refusing: TestClient, refusing_eval: str, name: str):
    source, param = BAD_RUNS[name]
    body = {"data_source": source} if source else {}
    reply = refusing.post(f"/v1/evals/{refusing_eval}/runs", json=body)
    assert reply.status_code == 400, reply.text
    error = reply.json()["error"]
    assert error["param"] == param and "1 + 1" not in error["message"]


def test_rows_that_take_too_long_to_compare_are_for_a_file(
    refusing: TestClient, refusing_eval: str, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(data_sources, "MOST_SECONDS", 0)
    reply = refusing.post(f"/v1/evals/{refusing_eval}/runs", json={"data_source": SOURCE})
    error = reply.json()["error"]
    assert (reply.status_code, error["param"]) == (400, "data_source.source.content")
    assert "upload the rows as a file" in error["message"]


def test_others_write_while_rows_are_compared(
    client: TestClient, eval: str, database: Database, project: str, monkeypatch: pytest.MonkeyPatch
):
    def check(source: DataSource, found: Eval) -> None:
        with database.scope(project) as scope:
            evals.change(scope, found.id, {"name": "meanwhile"})

    monkeypatch.setattr(eval_runs, "check_source", check)
    assert client.post(f"/v1/evals/{eval}/runs", json={"data_source": SOURCE}).status_code == 200
    assert client.get(f"/v1/evals/{eval}").json()["name"] == "meanwhile"


def test_what_a_row_lacks_is_named(refusing: TestClient, refusing_eval: str):
    rows = {"type": "file_content", "content": [{"item": {"q": "secret"}}]}
    body = {"data_source": {"type": "jsonl", "source": rows}}
    error = refusing.post(f"/v1/evals/{refusing_eval}/runs", json=body).json()["error"]
    assert error["message"] == "Invalid 'data_source.source.content[0]': item.a is missing."


def test_a_run_of_a_model_or_an_eval_that_is_not_there(refusing: TestClient, refusing_eval: str):
    body = {"data_source": {**ASKING, "model": "ft:nobody"}}
    reply = refusing.post(f"/v1/evals/{refusing_eval}/runs", json=body)
    assert reply.status_code == 404 and reply.json()["error"]["code"] == "model_not_found"
    reply = refusing.post("/v1/evals/eval_none/runs", json={"data_source": SOURCE})
    assert reply.status_code == 404 and reply.json()["error"]["param"] == "eval_id"


def test_the_report_opens(client: TestClient, run: dict):
    reply = client.get(run["report_url"])
    assert reply.status_code == 200 and reply.json() == run


def test_a_create_that_is_sent_again_is_one_object(client: TestClient, eval: str, run: dict):
    again = {"x-stainless-retry-count": "1"}
    reply = client.post("/v1/evals", json=WANTED, headers=again)
    assert reply.json()["id"] == eval and reply.headers["idempotent-replayed"] == "true"
    reply = client.post(f"/v1/evals/{eval}/runs", json={"data_source": SOURCE}, headers=again)
    assert reply.json()["id"] == run["id"] and reply.json()["report_url"] == run["report_url"]
    other = client.post("/v1/evals", json=WANTED).json()["id"]
    reply = client.post(f"/v1/evals/{other}/runs", json={"data_source": SOURCE}, headers=again)
    assert reply.json()["eval_id"] == other and reply.json()["id"] != run["id"]


def test_another_project_sees_nothing(
    client: TestClient, eval: str, run: dict, other_project: str, new_key: Callable[..., str]
):
    theirs = {"authorization": f"Bearer {new_key(other_project)}"}
    there, absent = f"/v1/evals/{eval}", "/v1/evals/eval_none"
    for way in ("", "/runs", f"/runs/{run['id']}", f"/runs/{run['id']}/output_items"):
        found, missing = client.get(there + way, headers=theirs), client.get(absent + way, headers=theirs)
        assert found.status_code == missing.status_code == 404
        assert found.text.replace(eval, "") == missing.text.replace("eval_none", "")
    for method, path in (
        ("post", there),
        ("delete", there),
        ("post", f"{there}/runs/{run['id']}/cancel"),
        ("delete", f"{there}/runs/{run['id']}"),
    ):
        assert client.request(method, path, headers=theirs, json={}).status_code == 404
    assert client.get("/v1/evals", headers=theirs).json()["data"] == []


def test_who_may_only_look_changes_nothing(client: TestClient, eval: str, project: str, new_key):
    viewer = {"authorization": f"Bearer {new_key(project, 'viewer')}"}
    assert client.get(f"/v1/evals/{eval}", headers=viewer).status_code == 200
    assert client.post("/v1/evals", json=WANTED, headers=viewer).status_code == 403
    assert client.delete(f"/v1/evals/{eval}", headers=viewer).status_code == 403


def test_items_are_listed_once_they_have_results(official: openai.OpenAI, database: Database, project: str):
    eval = official.evals.create(**WANTED)
    run = official.evals.runs.create(eval.id, data_source=SOURCE)
    with database.scope(project) as scope:
        eval_items.add(scope, eval.id, run.id, [(ROW["item"], None)] * 3, first=0)
        waiting = eval_items.waiting(scope, run.id, after=-1, limit=9)
        result = ItemResult(name="exact", type="string_check", passed=True, score=1.0)
        first, second, last = waiting
        settled = [
            eval_items.Settled(first.id, "pass", [result], Sample()),
            eval_items.Settled(second.id, "fail", [result], Sample()),
        ]
        eval_items.settle(scope, run.id, settled)
    items = official.evals.runs.output_items
    found = list(items.list(run.id, eval_id=eval.id, limit=1))
    assert [(each.datasource_item_id, each.status) for each in found] == [(0, "pass"), (1, "fail")]
    assert found[0].datasource_item == ROW["item"] and found[0].results[0].score == 1
    assert [each.id for each in items.list(run.id, eval_id=eval.id, status="fail")] == [found[1].id]
    assert [each.id for each in items.list(run.id, eval_id=eval.id, order="desc")] == [
        each.id for each in found[::-1]
    ]
    one = items.retrieve(found[0].id, eval_id=eval.id, run_id=run.id)
    assert one.to_dict() == found[0].to_dict()
    with pytest.raises(openai.NotFoundError, match="No output item found"):
        items.retrieve(last.id, eval_id=eval.id, run_id=run.id)
