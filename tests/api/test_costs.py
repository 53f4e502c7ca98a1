"""What it cost: usage times the operator's prices, and nothing where there are none."""

import json
import time

import openai
import pytest
from fastapi.testclient import TestClient

from afina.cli.app import app

PRICES = "/v1/afina/prices"
WEEK = {"start_time": 0, "end_time": 7 * 86_400}
HI = [{"role": "user", "content": "Hi"}]


def put(admin: openai.OpenAI, model: str, **usd: float) -> None:
    admin.post("/afina/prices", cast_to=object, body={"model": model, **usd})


def amounts(admin: openai.OpenAI, **query) -> list[dict[str | None, float]]:
    page = admin.admin.organization.usage.costs(**{**WEEK, **query})
    return [{one.line_item: one.amount.value for one in bucket.results} for bucket in page.data]


def test_costs_are_lines_of_tokens(admin, planted, project):
    costs = admin.admin.organization.usage.costs
    page = costs(start_time=0, end_time=7 * 86_400, group_by=["line_item"])
    lines = [{one.line_item: one.quantity for one in bucket.results} for bucket in page.data]
    assert lines[0] == {
        "m, input_tokens": 3,
        "m, cached_input_tokens": 2,
        "m, output_tokens": 7,
        "n, input_tokens": 50,
        "n, output_tokens": 70,
    }
    assert lines[3] == {"e, input_tokens": 9, "m, training_tokens": 1000}
    [whole] = costs(start_time=0, end_time=86_400).data[0].results
    assert (whole.amount.value, whole.amount.currency, whole.quantity) == (0, "usd", None)
    only = costs(
        start_time=0,
        end_time=7 * 86_400,
        line_items=["m, training_tokens"],
        group_by=["line_item", "project_id"],
    )
    assert [(one.project_id, one.quantity) for bucket in only.data for one in bucket.results] == [
        (project, 1000)
    ]


def test_every_kind_of_token_has_its_price(admin, planted):
    put(admin, "m", input=2.0, cached_input=0.5, output=10.0, training=25.0)
    put(admin, "e", input=0.1, output=0.0)
    days = amounts(admin, group_by=["line_item"])
    assert days[0] == pytest.approx(
        {
            "m, input_tokens": 3 * 2e-6,
            "m, cached_input_tokens": 2 * 0.5e-6,
            "m, output_tokens": 7 * 10e-6,
            "n, input_tokens": 0,
            "n, output_tokens": 0,
        }
    )
    assert days[3] == pytest.approx({"e, input_tokens": 9 * 0.1e-6, "m, training_tokens": 1000 * 25e-6})
    assert amounts(admin)[0] == pytest.approx({None: sum(days[0].values())})


def test_the_rows_cost_what_the_replies_do(admin, played, tuned):
    put(admin, "afina-tiny", input=1.5, output=6.0)
    put(admin, tuned.id, input=3.0, output=12.0)
    due = 0.0
    for model, factor, n in (("gpt-4o-mini", 1, 1), ("afina-tiny", 1, 3), (tuned.id, 2, 1)):
        used = admin.chat.completions.create(model=model, messages=HI, n=n).usage
        due += factor * (used.prompt_tokens * 1.5e-6 + used.completion_tokens * 6e-6)
    page = admin.admin.organization.usage.costs(start_time=int(time.time()) - 86_400)
    [whole] = [one for bucket in page.data for one in bucket.results]
    assert (whole.amount.value, whole.amount.currency) == (pytest.approx(due), "usd")


def test_a_tuned_model_costs_what_its_base_does(admin, played, tuned):
    put(admin, "afina-tiny", input=1000.0, output=0.0)
    used = admin.chat.completions.create(model=tuned.id, messages=HI).usage
    found = amounts(admin, start_time=int(time.time()) - 86_400, end_time=openai.NOT_GIVEN, limit=2)
    assert [value for day in found for value in day.values()] == [pytest.approx(used.prompt_tokens * 1e-3)]


def test_prices_are_set_changed_listed_and_taken_back(client: TestClient):
    asked = {"model": "org/base", "input": 1, "output": 2}
    made = client.post(PRICES, json=asked).json()
    assert (made["cached_input"], made["training"]) == (1, 0)
    changed = client.post(PRICES, json=asked | {"input": 3, "cached_input": 0}).json()
    assert (changed["id"], changed["input"], changed["cached_input"]) == (made["id"], 3, 0)
    assert client.get(PRICES).json()["data"] == [changed]
    assert client.delete(f"{PRICES}/org/base").json()["deleted"]
    assert client.get(PRICES).json()["data"] == []
    gone = client.delete(f"{PRICES}/org/base")
    assert (gone.status_code, gone.json()["error"]["param"]) == (404, "model")


@pytest.mark.parametrize(
    ("field", "value"), [("input", -1), ("output", "2"), ("model", ""), ("training", 1e9), ("colour", 1)]
)
def test_a_price_that_is_none(refusing: TestClient, field: str, value: object):
    reply = refusing.post(PRICES, json={"model": "m", "input": 1, "output": 2, field: value})
    assert (reply.status_code, reply.json()["error"]["param"]) == (400, field)


def test_the_command(server: str, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]):
    monkeypatch.setenv("OPENAI_BASE_URL", f"{server}/v1")
    monkeypatch.setenv("OPENAI_API_KEY", "sk-owner")

    def run(*words: str) -> str:
        app(["prices", *words], standalone_mode=False)
        return capfd.readouterr().out

    assert run("set", "org/base", "--input", "1.5", "--output", "6").strip() == "org/base"
    heading, row = run("list").splitlines()
    assert heading.split() == ["MODEL", "INPUT", "CACHED", "OUTPUT", "TRAINING"]
    assert row.split() == ["org/base", "1.5", "1.5", "6", "0"]
    assert json.loads(run("list", "--json"))["output"] == 6
    run("delete", "org/base")
    assert run("list", "--json") == ""
