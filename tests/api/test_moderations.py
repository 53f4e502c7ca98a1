"""Moderations over the wire: thirteen categories for every kind of input, and what is refused."""

import openai
import pytest
from fastapi.testclient import TestClient

from afina.schemas.moderations import CATEGORIES

MODERATIONS = "/v1/moderations"


def test_the_official_client(official: openai.OpenAI):
    made = official.moderations.create(input=["Good morning.", "I will kill you, and then myself."])
    assert made.id.startswith("modr-") and made.model
    good, bad = made.results
    assert not good.flagged and not any(good.categories.model_dump().values())
    assert bad.flagged and bad.categories.violence and bad.categories.harassment_threatening
    assert not bad.categories.sexual and bad.category_scores.violence == 0.75
    assert set(bad.category_applied_input_types.model_dump(by_alias=True)) == set(CATEGORIES)


def test_parts_of_one_input_are_judged_together(client: TestClient):
    parts = [{"type": "text", "text": text} for text in ("Hola.", "Te voy a matar.")]
    reply = client.post(MODERATIONS, json={"input": parts, "model": "omni-moderation-2024-09-26"}).json()
    assert reply["model"] == "omni-moderation-2024-09-26" and len(reply["results"]) == 1
    result = reply["results"][0]
    assert list(result["categories"]) == list(CATEGORIES) and result["categories"]["violence"]


BAD = {
    "an image": (
        {"input": [{"type": "image_url", "image_url": {"url": "x"}}]},
        "input[0]",
        "images are not looked at",
    ),
    "an image behind a text": (
        {"input": [{"type": "text", "text": "a"}, {"type": "image_url", "image_url": {"url": "x"}}]},
        "input[1]",
        "images are not looked at",
    ),
    "nothing": ({"input": []}, "input", "not empty"),
    "a number": ({"input": 3}, "input", "Expected a string"),
    "no input": ({}, "input", "Missing required parameter"),
    "an unknown field": ({"input": "a", "inputs": "a"}, "inputs", "Unknown parameter"),
    "a mixture": ({"input": ["a", 3]}, "input[1]", "a string"),
}


@pytest.mark.parametrize("name", BAD)
def test_what_is_refused(refusing: TestClient, name: str):
    body, param, words = BAD[name]
    reply = refusing.post(MODERATIONS, json=body)
    error = reply.json()["error"]
    assert (reply.status_code, error["param"]) == (400, param) and words in error["message"]
