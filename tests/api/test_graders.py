"""Graders over the wire: one sample graded, a grader validated, and what is refused."""

import openai
import pytest
from fastapi.testclient import TestClient

from afina.graders import sandbox
from played_host import PlayedHost

RUN, VALIDATE = "/v1/fine_tuning/alpha/graders/run", "/v1/fine_tuning/alpha/graders/validate"
EXACT = {
    "type": "string_check",
    "name": "s",
    "input": "{{ sample.output_text }}",
    "reference": "a",
    "operation": "eq",
}
SCORE = {
    "type": "score_model",
    "name": "j",
    "model": "afina-tiny",
    "input": [{"role": "user", "content": "Grade {{ sample.output_text }} for {{ item.q }}."}],
}
PYTHON = {
    "type": "python",
    "name": "p",
    "source": "def grade(sample, item):\n    return len(sample['output_text']) / item['n']",
}
behind = pytest.mark.skipif(sandbox.missing() is not None, reason="no boundary here for python graders")


def test_the_official_client(official: openai.OpenAI):
    graders = official.fine_tuning.alpha.graders
    run = graders.run(grader=EXACT, model_sample="a", item={"q": 1})
    assert (run.reward, run.metadata.name, run.metadata.type) == (1, "s", "string_check")
    assert run.sub_rewards == {} and run.metadata.execution_time >= 0 and run.metadata.token_usage is None
    assert not any(value for value in run.metadata.errors.model_dump().values())
    assert graders.run(grader=EXACT, model_sample="A").reward == 0
    validated = graders.validate(grader=EXACT)
    assert validated.grader is not None and validated.grader.model_dump() == EXACT


def test_a_map_of_graders(loose: openai.OpenAI):
    multi = {
        "type": "multi",
        "graders": {"a": EXACT, "b": {**EXACT, "operation": "ne"}},
        "calculate_output": "2 * a - b",
    }
    run = loose.fine_tuning.alpha.graders.run(grader=multi, model_sample="a")  # type: ignore[arg-type]
    assert run.reward == 2 and run.sub_rewards == {"a": 1, "b": 0}


def test_an_error_is_flagged_beside_a_zero(client: TestClient):
    grader = {**EXACT, "reference": "{{ item.want }}"}
    reply = client.post(RUN, json={"grader": grader, "model_sample": "a"})
    body = reply.json()
    assert reply.status_code == 200 and body["reward"] == 0
    assert [name for name, value in body["metadata"]["errors"].items() if value is True] == [
        "invalid_variable_error"
    ]
    assert body["afina"] == {"reason": "there is no item.want"}


def test_a_model_grades(client: TestClient, played: PlayedHost):
    played.text = '{"steps": [], "result": 0.25}'
    body = client.post(RUN, json={"grader": SCORE, "model_sample": "this", "item": {"q": "that"}}).json()
    assert body["reward"] == 0.25 and body["metadata"]["sampled_model_name"] == "afina-tiny"
    usage = body["model_grader_token_usage_per_model"]["afina-tiny"]
    assert body["metadata"]["token_usage"] == usage["prompt_tokens"] + usage["completion_tokens"] > 0
    assert played.asked[-1].response_format is not None
    played.text = "I would say a quarter."
    body = client.post(RUN, json={"grader": SCORE, "model_sample": "this", "item": {"q": "that"}}).json()
    assert body["reward"] == 0 and body["metadata"]["errors"]["model_grader_parse_error"] is True


@behind
def test_python(client: TestClient):
    body = client.post(RUN, json={"grader": PYTHON, "model_sample": "abcd", "item": {"n": 8}}).json()
    assert body["reward"] == 0.5
    body = client.post(RUN, json={"grader": PYTHON, "model_sample": "abcd", "item": {"n": 0}}).json()
    errors = body["metadata"]["errors"]
    assert errors["python_grader_runtime_error"] is True
    assert errors["python_grader_runtime_error_details"] == "ZeroDivisionError: division by zero (line 2)"


def test_no_boundary_no_run(client: TestClient, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("PATH", "")
    for path in (RUN, VALIDATE):
        reply = client.post(path, json={"grader": PYTHON, **({"model_sample": "a"} if path == RUN else {})})
        error = reply.json()["error"]
        assert (reply.status_code, error["code"], error["param"]) == (400, "grader_unavailable", "grader")
    assert client.post(RUN, json={"grader": EXACT, "model_sample": "a"}).json()["reward"] == 1
    assert client.get("/healthz").json()["sandbox"] == "none"


BAD: dict[str, tuple[dict[str, object], int, str, str]] = {
    "no grader": ({"model_sample": "a"}, 400, "grader", "Missing required parameter"),
    "no sample": ({"grader": EXACT}, 400, "model_sample", "Missing required parameter"),
    "unknown type": (
        {"grader": {"type": "x"}, "model_sample": "a"},
        400,
        "grader.type",
        "Supported values are",
    ),
    "an item that is none": ({"grader": EXACT, "model_sample": "a", "item": [1]}, 400, "item", "an object"),
    "a template": (
        {"grader": {**EXACT, "input": "{{ item.__class__ }}"}, "model_sample": "a"},
        400,
        "grader.input",
        "only item.* and sample.* paths",
    ),
    "a syntax error": (
        {"grader": {**PYTHON, "source": "def grade("}, "model_sample": "a"},
        400,
        "grader.source",
        "line 1: ",
    ),
    "an unknown model": (
        {"grader": {**SCORE, "model": "ft:afina-tiny:other::x"}, "model_sample": "a"},
        404,
        "model",
        "does not exist",
    ),
}


@pytest.mark.parametrize("name", BAD)
def test_what_is_refused(refusing: TestClient, name: str):
    body, status, param, words = BAD[name]
    reply = refusing.post(RUN, json=body)
    error = reply.json()["error"]
    assert (reply.status_code, error["param"]) == (status, param) and words in error["message"]


def test_a_viewer_runs_nothing(client: TestClient, new_key, project: str):
    headers = {"authorization": f"Bearer {new_key(project, 'viewer')}"}
    assert client.post(RUN, json={"grader": EXACT, "model_sample": "a"}, headers=headers).status_code == 403


def test_nobody_grades_with_anothers_model(client: TestClient, tuned, new_key, other_project: str):
    headers = {"authorization": f"Bearer {new_key(other_project, 'owner')}"}
    body = {"grader": {**SCORE, "model": tuned.id}, "model_sample": "a"}
    assert client.post(RUN, json=body, headers=headers).json()["error"]["code"] == "model_not_found"
    assert client.post(VALIDATE, json={"grader": body["grader"]}).status_code == 200
