"""Legacy completions before a host that plays its part: prompts in every form, whole and streamed, and refusals."""

import json
from collections.abc import Callable

import openai
import pytest
from fastapi.testclient import TestClient

import afina.base
from afina.data.render import Renderer
from afina.schemas.models import Model

PATH = "/v1/completions"
RENDERER = Renderer(afina.base.path())


def test_a_whole_reply(played, official: openai.OpenAI):
    reply = official.completions.create(
        model="afina-tiny", prompt="Once", n=2, temperature=0.5, top_p=0.9, seed=-1, stop=["x"], user="u"
    )
    assert reply.id.startswith("cmpl-") and reply.object == "text_completion" and reply.system_fingerprint
    assert [(choice.index, choice.text, choice.finish_reason) for choice in reply.choices] == [
        (0, played.text, "stop"),
        (1, played.text, "stop"),
    ]
    assert reply.choices[0].logprobs is None
    asked = played.asked[0]
    assert asked.prompts == [RENDERER.document("Once")] and asked.max_tokens == 16
    assert (asked.temperature, asked.top_p, asked.stop, asked.n) == (0.5, 0.9, ["x"], 2)
    assert reply.usage and reply.usage.prompt_tokens == len(RENDERER.document("Once"))
    assert asked.seed is not None and asked.seed >= 0 and asked.logprobs is None


IDS = RENDERER.document("Hi there")[1:]


@pytest.mark.parametrize(
    ("prompt", "expected"),
    [
        ("Hi there", [[0, *IDS]]),
        (["Hi there", "Hi"], [[0, *IDS], RENDERER.document("Hi")]),
        (IDS, [IDS]),
        ([IDS, [5, 0]], [IDS, [5, 0]]),
        ("", [[0]]),
        (None, [[0]]),
    ],
)
def test_a_prompt_has_four_forms(played, client: TestClient, prompt: object, expected: list[list[int]]):
    reply = client.post(PATH, json={"model": "afina-tiny", "prompt": prompt, "n": 2})
    assert reply.status_code == 200, reply.text
    assert played.asked[0].prompts == expected
    assert [choice["index"] for choice in reply.json()["choices"]] == list(range(2 * len(expected)))


def test_a_control_token_in_a_prompt_stays_text(played, client: TestClient):
    client.post(PATH, json={"model": "afina-tiny", "prompt": "<|im_end|>"})
    (prompt,) = played.asked[0].prompts
    assert RENDERER.stop_ids.isdisjoint(prompt) and RENDERER.decode(prompt) == "<|im_end|>"


def test_a_stream_says_what_the_whole_reply_says(played, loose: openai.OpenAI, client: TestClient):
    chunks = list(
        loose.completions.create(
            model="afina-tiny",
            prompt=["a", "b"],
            n=2,
            stream=True,
            stream_options={"include_usage": True},
        )
    )
    assert {chunk.id for chunk in chunks} == {chunks[0].id}
    for index in range(4):
        mine = [chunk.choices[0] for chunk in chunks if chunk.choices and chunk.choices[0].index == index]
        assert "".join(choice.text for choice in mine) == played.text
        assert [choice.finish_reason for choice in mine] == [None] * (len(mine) - 1) + ["stop"]
    assert chunks[-1].choices == [] and chunks[-1].usage and chunks[-1].usage.completion_tokens == 16
    reply = client.post(PATH, json={"model": "afina-tiny", "prompt": "a", "stream": True})
    lines = reply.text.split("\n\n")
    assert lines[-2:] == ["data: [DONE]", ""] and "usage" not in reply.text
    assert all(json.loads(line[6:])["object"] == "text_completion" for line in lines[:-2])


def test_a_tuned_model_and_an_alias_answer(played, client: TestClient, tuned: Model):
    assert client.post(PATH, json={"model": tuned.id, "prompt": "a"}).json()["model"] == tuned.id
    assert played.loaded == {"k1"}
    reply = client.post(PATH, json={"model": "davinci-002", "prompt": "a"})
    assert reply.json()["model"] == "davinci-002" and "afina-tiny" in reply.headers["x-afina-warning"]


def test_a_suffix_ends_the_reply_and_the_caller_is_told(played, client: TestClient):
    reply = client.post(PATH, json={"model": "afina-tiny", "prompt": "a", "suffix": "\nEnd", "stop": "x"})
    assert played.asked[0].stop == ["x", "\nEnd"] and "suffix" in reply.headers["x-afina-warning"]
    assert "x-afina-warning" not in client.post(PATH, json={"model": "afina-tiny", "suffix": ""}).headers


def test_a_host_that_dies(played, client: TestClient):
    played.deaths = 2
    reply = client.post(PATH, json={"model": "afina-tiny", "prompt": "a"})
    assert (reply.status_code, reply.json()["error"]["code"]) == (503, "model_unavailable")
    played.deaths = 1
    reply = client.post(PATH, json={"model": "afina-tiny", "prompt": "a", "stream": True})
    assert '"code": "model_unavailable"' in reply.text and "[DONE]" not in reply.text


def test_who_leaves_stops_it(played, loose: openai.OpenAI):
    played.endless = True
    stream = loose.completions.create(model="afina-tiny", prompt="a", stream=True)
    next(stream)
    stream.close()
    assert played.left.wait(5)


def test_a_viewer_does_not_spend(client: TestClient, project: str, new_key: Callable[..., str]):
    headers = {"authorization": f"Bearer {new_key(project, 'viewer')}"}
    assert client.post(PATH, json={"model": "afina-tiny"}, headers=headers).status_code == 403


@pytest.mark.parametrize(
    ("fields", "param", "code"),
    [
        *(({"prompt": bad}, "prompt", "invalid_type") for bad in (5, [], [True], {}, [{}], [None])),
        ({"prompt": ["a", 5]}, "prompt[1]", "invalid_type"),
        ({"prompt": [5, "a"]}, "prompt[1]", "invalid_type"),
        ({"prompt": [[]]}, "prompt[0]", "invalid_value"),
        ({"prompt": [-1]}, "prompt[0]", "invalid_value"),
        ({"prompt": [8192]}, "prompt", "invalid_value"),
        ({"prompt": [[1], [9000]]}, "prompt", "invalid_value"),
        ({"prompt": ["a"] * 129}, "prompt", "invalid_value"),
        ({"prompt": ["a"] * 65, "n": 2}, "prompt", "invalid_value"),
        ({"prompt": "word " * 3000}, "prompt", "context_length_exceeded"),
        ({"max_tokens": 2048}, "prompt", "context_length_exceeded"),
        *(({"n": bad}, "n", None) for bad in (0, 129, 1.5, "1")),
        *(({"best_of": bad}, "best_of", None) for bad in (-1, 129)),
        ({"n": 3, "best_of": 2}, "best_of", "invalid_value"),
        ({"logprobs": 6}, "logprobs", "invalid_value"),
        ({"logprobs": True}, "logprobs", "invalid_type"),
        ({"max_tokens": -1}, "max_tokens", "invalid_value"),
        ({"temperature": 2.1}, "temperature", "invalid_value"),
        ({"top_p": 1.1}, "top_p", "invalid_value"),
        ({"frequency_penalty": -2.1}, "frequency_penalty", "invalid_value"),
        ({"logit_bias": {"8192": 1}}, "logit_bias", "invalid_value"),
        ({"logit_bias": {"1": 101}}, "logit_bias.1", "invalid_value"),
        ({"stop": ["a", "b", "c", "d", "e"]}, "stop", "invalid_value"),
        ({"echo": "yes"}, "echo", "invalid_type"),
        ({"suffix": 5}, "suffix", "invalid_type"),
        ({"prompt_embeds": "x"}, "prompt_embeds", "unknown_parameter"),
        ({"messages": []}, "messages", "unknown_parameter"),
    ],
)
def test_a_completion_that_cannot_be_is_refused(
    refusing: TestClient, fields: dict, param: str, code: str | None
):
    for stream in (False, True):
        body = {"model": "afina-tiny", "prompt": "a", "stream": stream, **fields}
        error = refusing.post(PATH, json=body).json()["error"]
        assert error["param"] == param and code in (None, error["code"]), error


def test_refusals_in_openais_words(refusing: TestClient):
    reply = refusing.post(PATH, json={"model": "afina-tiny", "prompt": [7] * 2000, "max_tokens": 100})
    assert reply.json()["error"]["message"] == (
        "This model's maximum context length is 2048 tokens, however you requested 2100 tokens (2000 in your prompt; "
        "100 for the completion). Please reduce your prompt; or completion length."
    )
    reply = refusing.post(PATH, json={"model": "afina-tiny", "best_of": 2, "stream": True})
    assert (reply.status_code, reply.json()["error"]["param"]) == (400, "best_of")
    reply = refusing.post(PATH, json={"model": "nobody"})
    assert (reply.status_code, reply.json()["error"]["code"]) == (404, "model_not_found")
