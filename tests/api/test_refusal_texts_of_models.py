"""Sections G, I and J of the reliability page: jobs, chats and models."""

import pytest
from fastapi.testclient import TestClient

from bad_requests import (
    CHAT,
    FILES,
    HI,
    JOBS,
    SHARES,
    Bad,
    chat,
    schema,
)

GONE = "The model `ft:gone` does not exist or you do not have access to it."
PATTERN = (
    "a 'pattern' is not a regular expression that can be held; look-around and references are not permitted."
)

THE_JOBS = [
    *(
        Bad(
            "G184",
            method,
            f"{JOBS}/ftjob-x{rest}",
            "Could not find fine tune: ftjob-x",
            404,
            "fine_tune_id",
            "fine_tune_not_found",
        )
        for method, rest in (
            ("GET", ""),
            ("POST", "/cancel"),
            ("POST", "/pause"),
            ("POST", "/resume"),
            ("GET", "/events"),
            ("GET", "/checkpoints"),
        )
    ),
    *(
        Bad(
            "G186",
            "GET",
            f"{JOBS}{rest}?limit=101",
            "Invalid 'limit': must be between 1 and 100.",
            param="limit",
        )
        for rest in ("", "/ftjob-x/events", "/ftjob-x/checkpoints")
    ),
]
CHATS = [
    Bad(
        "I207",
        "POST",
        CHAT,
        "Missing required parameter: 'messages'.",
        400,
        "messages",
        "missing_required_parameter",
        json={"model": "afina-tiny"},
    ),
    chat("I207", "Invalid 'messages': expected at least 1 item(s).", "messages", messages=[]),
    Bad(
        "I209", "POST", CHAT, GONE, 404, "model", "model_not_found", json={"model": "ft:gone", "messages": HI}
    ),
    chat("I210", "Invalid 'temperature': less than or equal to 2.", "temperature", temperature=2.1),
    chat("I210", "Invalid 'temperature': greater than or equal to 0.", "temperature", temperature=-0.1),
    chat("I211", "Invalid 'top_p': less than or equal to 1.", "top_p", top_p=1.1),
    chat("I212", "Invalid 'n': less than or equal to 128.", "n", n=129),
    chat("I212", "Invalid 'n': greater than or equal to 1.", "n", n=0),
    chat("I215", "Invalid 'logit_bias.1': less than or equal to 100.", "logit_bias.1", logit_bias={"1": 101}),
    chat(
        "I215",
        "Invalid 'logit_bias': expected at most 1024 item(s).",
        "logit_bias",
        logit_bias={str(i): 0 for i in range(10_000)},
    ),
    *(
        chat("I216", "Invalid 'stop': Expected at most 4 sequences, none of them empty.", "stop", stop=stop)
        for stop in (list("abcde"), "", ["a", ""])
    ),
    chat("I217", "Invalid 'top_logprobs': less than or equal to 20.", "top_logprobs", top_logprobs=21),
    chat(
        "I217",
        "The 'top_logprobs' parameter is only allowed when 'logprobs' is enabled.",
        "top_logprobs",
        None,
        top_logprobs=2,
    ),
    schema("I219", "it refers to itself without ever coming to an end.", **{"$ref": "#"}),
    schema("I219", PATTERN, type="string", pattern="(a+)+$" * 50),
    schema("I219", PATTERN, type="string", pattern="("),
    schema("I219", "it has more than 65536 characters; shorten it.", enum=["x" * 70_000]),
    *(
        chat("I220", f"Unknown parameter: '{name}'.", name, "unknown_parameter", **{name: "x"})
        for name in (
            "chat_template",
            "chat_template_kwargs",
            "prompt_embeds",
            "mm_processor_kwargs",
            "cache_salt",
            "lora_path",
            "guided_regex",
        )
    ),
    *(
        chat(
            "I221",
            "Invalid 'messages[0].content[0].image_url.url': nothing is fetched from a URL in a request, "
            "and this model reads text only.",
            "messages[0].content[0].image_url.url",
            "image_url_not_allowed",
            messages=[{"role": "user", "content": [{"type": "image_url", "image_url": {"url": url}}]}],
        )
        for url in ("http://169.254.169.254/", "http://[::ffff:127.0.0.1]/", "http://0x7f.1/", "http://a\\@b")
    ),
    chat("I222", "Invalid type for 'stream': expected a boolean.", "stream", "invalid_type", stream="yes"),
    chat(
        "I224",
        "Invalid 'messages[1].tool_call_id': a message with role 'tool' must answer a call of an earlier "
        "message's 'tool_calls'.",
        "messages[1].tool_call_id",
        messages=[*HI, {"role": "tool", "tool_call_id": "c", "content": "x"}],
    ),
    chat("I225", "Invalid 'user': expected at most 512 character(s).", "user", user="u" * 10_000),
]
MODELS = [
    Bad("J229", "DELETE", "/v1/models/ft:gone", GONE, 404, "model", "model_not_found"),
    Bad(
        "J231",
        "POST",
        SHARES,
        "Invalid 'project_ids': expected at least 1 item(s).",
        param="project_ids",
        json={"project_ids": []},
    ),
    Bad(
        "J231",
        "POST",
        SHARES,
        "Invalid 'project_ids': expected at most 100 item(s).",
        param="project_ids",
        json={"project_ids": [f"proj_{n}" for n in range(1000)]},
    ),
    Bad(
        "J231",
        "POST",
        SHARES,
        GONE.replace("gone", "x"),
        404,
        "fine_tuned_model_checkpoint",
        "model_not_found",
        json={"project_ids": ["proj_x"]},
    ),
]
ALL = [*THE_JOBS, *CHATS, *MODELS]


@pytest.mark.parametrize("bad", ALL, ids=lambda bad: bad.entry)
def test_the_whole_error(refusing: TestClient, bad: Bad):
    bad.check(refusing)


def test_a_job_and_its_file(client: TestClient, upload, create):
    """B57, G184, G185 and G189, in the life of one job."""
    job = create()
    name, file = job["id"], job["training_file"]

    def message(reply) -> tuple[int, str, str]:
        error = reply.json()["error"]
        return reply.status_code, error["message"], error["code"]

    used = f"The file is in use by 1 fine-tuning job(s): {name}. Cancel them first, or wait."
    assert message(client.delete(f"{FILES}/{file}")) == (400, used, "file_in_use")
    for status in ("validating_files", "cancelled"):
        only = f"Only a running job can be paused, and this one is '{status}'."
        assert message(client.post(f"{JOBS}/{name}/pause")) == (400, only, "invalid_state")
        only = f"Only a paused job can be resumed, and this one is '{status}'."
        assert message(client.post(f"{JOBS}/{name}/resume")) == (400, only, "invalid_state")
        client.post(f"{JOBS}/{name}/cancel")
    ended = (400, "Job has already been cancelled.", "invalid_state")
    assert message(client.post(f"{JOBS}/{name}/cancel")) == ended
    assert client.get(f"{JOBS}/{name}/events?after=ftevent-x").json()["data"] == []
    assert client.delete(f"{FILES}/{file}").status_code == 200
    assert client.delete(f"{FILES}/{file}").status_code == 404
