"""`afina evals` against the real server, and what is refused before it is asked."""

import json
from pathlib import Path

import pytest

from afina.evals import ready
from afina.settings import Settings
from afina.store import projects
from afina.store.database import Database

KEY = "sk-owner"
EXACT = {
    "type": "string_check",
    "name": "exact",
    "input": "{{ item.q }}",
    "reference": "a",
    "operation": "eq",
}


@pytest.fixture
def afina(tmp_path: Path, command, serve_api):
    settings = Settings(data=tmp_path / "data")
    settings.data.mkdir()
    database = Database(settings.database)
    database.upgrade()
    with database.system() as system:
        projects.create_first(system, KEY)
    database.close()
    serve_api(settings, KEY)
    return command


@pytest.fixture
def criteria(tmp_path: Path) -> str:
    path = tmp_path / "exact.json"
    path.write_text(json.dumps([EXACT]))
    return str(path)


@pytest.fixture
def rows(tmp_path: Path) -> str:
    path = tmp_path / "rows.jsonl"
    path.write_text('{"item": {"q": "a"}}\n')
    return str(path)


def test_an_eval_is_made_listed_run_and_shown(afina, criteria: str, rows: str):
    made = afina("evals", "create", criteria, "--metadata", "a=b").out.strip()
    assert made.startswith("eval_")
    listed = afina("evals", "list").out
    assert made in listed and "exact" in listed
    run = afina("evals", "run", made, rows, "--name", "first").out.strip()
    assert run.startswith("evalrun_")
    shown = afina("evals", "show", made).out
    assert run in shown and "queued" in shown and "first" in shown
    one = afina("evals", "show", made, run).out
    assert "0 passed, 0 failed" in one and f"/evals/{made}/runs/{run}" in one
    document = json.loads(afina("evals", "show", made, run, "--json").out)
    assert document["data_source"]["source"]["type"] == "file_id"
    whole = json.loads(afina("evals", "show", made, "--json").out)
    assert whole["metadata"] == {"a": "b"} and [each["id"] for each in whole["runs"]] == [run]


def test_ready_criteria_are_printed(afina):
    by_model = json.loads(afina("evals", "criteria", "--judge", "m", "--language", "es").out)
    assert by_model == ready.criteria(judge="m", language="es")
    assert json.loads(afina("evals", "criteria").out) == ready.criteria()


def test_a_model_is_asked_what_is_said(afina, criteria: str, rows: str):
    made = afina("evals", "create", criteria).out.strip()
    ran = afina(
        "evals", "run", made, rows, "--model", "nobody", "--prompt", "{{ item.q }}", "--system", "Be kind."
    )
    assert ran.code == 1 and "model_not_found" in ran.err
    for alone in (("--model", "m"), ("--prompt", "p")):
        ran = afina("evals", "run", made, rows, *alone)
        assert ran.code == 1 and "belong together" in ran.err


@pytest.mark.parametrize(("text", "said"), [("{", "is not JSON"), ("{}", "holds no JSON array")])
def test_criteria_that_are_none(afina, tmp_path: Path, text: str, said: str):
    path = tmp_path / "criteria.json"
    path.write_text(text)
    ran = afina("evals", "create", str(path))
    assert ran.code == 1 and said in ran.err


def test_what_the_server_refuses_is_told(afina, tmp_path: Path):
    path = tmp_path / "criteria.json"
    path.write_text(json.dumps([{**EXACT, "operation": "near"}]))
    ran = afina("evals", "create", str(path))
    assert ran.code == 1 and "testing_criteria[0].operation" in ran.err
    schema = tmp_path / "schema.json"
    schema.write_text('{"type": "text"}')
    path.write_text(json.dumps([EXACT]))
    ran = afina("evals", "create", str(path), "--schema", str(schema))
    assert ran.code == 1 and "data_source_config.item_schema" in ran.err
