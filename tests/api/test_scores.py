"""Scores: what is no conversation, does not fit or names no model is refused before any host is asked."""

import pytest
from fastapi.testclient import TestClient

SCORES = "/v1/afina/scores"
HI = {"role": "user", "content": "Hi"}
HELLO = {"role": "assistant", "content": "Hello."}
SOUND = {"messages": [HI, HELLO]}


def refused(client: TestClient, status: int, **fields: object) -> dict[str, str]:
    reply = client.post(SCORES, json={"model": "afina-tiny", "inputs": [SOUND], **fields})
    assert reply.status_code == status, reply.text
    return reply.json()["error"]


def test_an_unknown_model(refusing: TestClient):
    error = refused(refusing, 404, model="nobody")
    assert (error["param"], error["code"]) == ("model", "model_not_found")


@pytest.mark.parametrize(
    ("row", "param"),
    [
        ({"messages": [HI]}, "inputs[1].messages"),
        ({"messages": []}, "inputs[1].messages"),
        ({}, "inputs[1].messages"),
        ({"messages": [HI, HELLO, HI]}, "inputs[1].messages[2].role"),
        ({"messages": [HI, {**HELLO, "weight": 0}]}, "inputs[1].messages"),
        ({"messages": [HI, {**HELLO, "weight": 2}]}, "inputs[1].messages[1].weight"),
        ({"messages": [HI, {"role": "assistant", "content": 3}]}, "inputs[1].messages[1].content"),
        ({"messages": [{"role": "secretword", "content": "Hi"}, HELLO]}, "inputs[1].messages[0].role"),
        ({**SOUND, "tools": "none"}, "inputs[1].tools"),
        ({**SOUND, "answers": []}, "inputs[1].answers"),
    ],
)
def test_a_row_that_no_training_file_may_hold(refusing: TestClient, row: dict, param: str):
    error = refused(refusing, 400, inputs=[SOUND, row])
    assert (error["param"], error["code"]) == (param, "invalid_value")
    assert error["message"].startswith(f"Invalid '{param}': ") and error["message"].endswith(".")
    assert "secretword" not in error["message"]


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"inputs": []}, "inputs"),
        ({"inputs": [SOUND] * 65}, "inputs"),
        ({"inputs": ["text"]}, "inputs[0]"),
        ({"inputs": SOUND}, "inputs"),
        ({"model": ""}, "model"),
        ({"top": 3}, "top"),
    ],
)
def test_what_is_no_request(refusing: TestClient, fields: dict, param: str):
    assert refused(refusing, 400, **fields)["param"] == param


def test_a_conversation_beyond_the_context_names_both_counts(refusing: TestClient):
    long = {"messages": [{"role": "user", "content": "one two three " * 1000}, HELLO]}
    error = refused(refusing, 400, inputs=[long])
    assert (error["param"], error["code"]) == ("inputs[0].messages", "context_length_exceeded")
    assert "2048 tokens" in error["message"] and error["message"].count("tokens") == 2
