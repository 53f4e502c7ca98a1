"""What must not be accepted: told with its place and its cure, never answered by 5xx, never echoed."""

import json
from collections.abc import Iterator

import httpx
import openai
import pytest
from openai import OpenAI
from openai.types.fine_tuning import FineTuningJob

from afina_server import KEY, Server, ended, events, jsonl, rows, tune, upload

CANARY = "xylophone-4711-canary"
TOLD: list[str] = []  # every reply of this file's tests
CHAT = "/v1/chat/completions"
JOBS = "/v1/fine_tuning/jobs"
HELLO = {"model": "afina-tiny", "messages": [{"role": "user", "content": CANARY}], "max_tokens": 1}


@pytest.fixture(scope="module")
def http(server: Server) -> Iterator[httpx.Client]:
    headers = {"authorization": f"Bearer {KEY}", "content-type": "application/json"}
    with httpx.Client(base_url=server.url, headers=headers, timeout=120) as opened:
        yield opened


@pytest.fixture(scope="module", autouse=True)
def nothing_is_echoed(server: Server) -> Iterator[None]:
    """Neither replies nor events nor the log hold what was sent as data."""
    yield
    assert TOLD
    assert not [text for text in TOLD if CANARY in text]
    assert CANARY not in server.log.read_text(errors="replace")
    assert httpx.get(f"{server.url}/healthz").status_code == 200


def examples(count: int = 12) -> list[dict]:
    return rows(count, answer=CANARY + " {name} {number}.")


def failed(client: OpenAI, content: bytes, name: str = "rows.jsonl") -> FineTuningJob:
    """The job that failed on a file; everything said about it is remembered."""
    job = ended(client, tune(client, upload(client, content, name).id, n_epochs=1, batch_size=8).id)
    TOLD.append(job.model_dump_json())
    TOLD.extend(event.model_dump_json() for event in events(client, job.id))
    assert job.status == "failed"
    assert job.fine_tuned_model is None and job.result_files == []
    assert job.error is not None and job.error.param == "training_file"
    return job


def refused(reply: httpx.Response, status: int) -> dict[str, str | None]:
    """The error object of a reply that must be a refusal."""
    TOLD.append(reply.text)
    assert reply.status_code == status, reply.text
    assert reply.headers["x-request-id"]
    error = reply.json()["error"]
    assert set(error) == {"message", "type", "param", "code"}
    return error


def test_nine_examples(client: OpenAI) -> None:
    error = failed(client, jsonl(examples(9))).error
    assert (error.code, error.message) == (
        "invalid_n_examples",
        "Training file has 9 example(s), but must have at least 10 examples",
    )


def without_role() -> bytes:
    broken = examples()
    del broken[6]["messages"][1]["role"]
    return jsonl(broken)


def from_the_user() -> bytes:
    broken = examples()
    broken[2]["messages"].append({"role": "user", "content": CANARY})
    return jsonl(broken)


def with_nan() -> bytes:
    return jsonl(examples()).replace(b'"messages"', b'"weight": NaN, "messages"', 1)


def not_utf_8() -> bytes:
    lines = jsonl(examples()).splitlines(keepends=True)
    lines[3] = lines[3].replace(b"canary", b"canar\xff", 1)
    return b"".join(lines)


BROKEN = [
    (without_role, 7, "Example 7, message 2 Discriminator 'role' is missing in value", "role"),
    (from_the_user, 3, "Example 3: last message must be from the assistant", "answer"),
    (with_nan, 1, "Line 1: not a finite number", "JSON"),
    (not_utf_8, 4, "Line 4 is not valid UTF-8; save as UTF-8", "UTF-8"),
    (lambda: json.dumps(examples()).encode(), 1, "Line 1: expected an object", '{"messages": [...]}'),
    (lambda: b'{"messages": [\n', 1, "Line 1: incomplete JSON object (multi-line?)", "one JSON object"),
]


@pytest.mark.parametrize(("content", "line", "text", "cure"), BROKEN)
def test_a_broken_line(client: OpenAI, content, line: int, text: str, cure: str) -> None:
    job = failed(client, content())
    assert job.error.code == "invalid_training_file"
    begin = "The job failed due to an invalid training file. Invalid file format. "
    assert job.error.message.startswith(begin + text)
    (finding,) = [event for event in events(client, job.id) if event.data and event.data.get("line") == line]
    assert finding.level == "error"
    assert text in finding.message and cure in finding.message


def test_a_line_of_100_megabytes(client: OpenAI) -> None:
    long = examples(1)
    long[0]["messages"][0]["content"] = CANARY + "x" * 100_000_000
    job = failed(client, jsonl(examples(10)) + jsonl(long))
    assert job.error.code == "invalid_training_file"
    assert "Line 11 is longer than 8 MiB" in job.error.message


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be", "utf-32"])
def test_a_file_in_another_encoding_is_refused_at_once(client: OpenAI, encoding: str) -> None:
    before = [file.id for file in client.files.list()]
    with pytest.raises(openai.BadRequestError) as error:
        upload(client, jsonl(examples()).decode().encode(encoding))
    TOLD.append(str(error.value.body))
    assert error.value.code == "invalid_file_format"
    assert "save as UTF-8" in error.value.message
    assert [file.id for file in client.files.list()] == before


@pytest.mark.parametrize(
    ("path", "body", "status", "code", "param"),
    [
        (CHAT, {**HELLO, "model": "nobody"}, 404, "model_not_found", "model"),
        (CHAT, {**HELLO, "unheard_of": CANARY}, 400, "unknown_parameter", "unheard_of"),
        (CHAT, {**HELLO, "messages": []}, 400, None, "messages"),
        (CHAT, {**HELLO, "temperature": 2.1}, 400, None, "temperature"),
        (CHAT, {"model": "afina-tiny"}, 400, "missing_required_parameter", "messages"),
        (JOBS, {"model": "nobody", "training_file": "file-x"}, 400, "model_not_found", "model"),
        (JOBS, {"model": "../../etc/passwd", "training_file": "file-x"}, 400, "model_not_found", "model"),
        (JOBS, {"model": "afina-tiny", "training_file": "file-nothere"}, 400, None, "training_file"),
        (JOBS, {"model": "afina-tiny"}, 400, "missing_required_parameter", "training_file"),
        (
            JOBS,
            {"model": "afina-tiny", "training_file": "f", "status": CANARY},
            400,
            "unknown_parameter",
            "status",
        ),
        (JOBS, {"model": "afina-tiny", "training_file": "f", "suffix": f"{CANARY}/.."}, 400, None, "suffix"),
        (JOBS, {"model": "afina-tiny", "training_file": "f", "seed": -1}, 400, None, "seed"),
    ],
)
def test_a_body_that_is_not_right(
    http: httpx.Client, path: str, body: dict, status: int, code: str | None, param: str
) -> None:
    error = refused(http.post(path, content=json.dumps(body)), status)
    assert error["param"] == param
    assert error["type"] == "invalid_request_error"
    assert code in (None, error["code"])


@pytest.mark.parametrize("path", [CHAT, JOBS])
@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b"null",
        b'"' + CANARY.encode() + b'"',
        b'{"model": NaN}',
        b'{"model": 1e999}',
        b'{"model": "afina-tiny",}',
        b'{"model": "' + CANARY.encode() + b'"} {}',
        b'{"model": "\xff"}',
        b"[" * 100_000,
        ('{"model": "' + CANARY + '"}').encode("utf-16"),
    ],
)
def test_a_body_that_is_no_json_object(http: httpx.Client, path: str, body: bytes) -> None:
    error = refused(http.post(path, content=body), 400)
    assert error["message"].startswith("We could not parse the JSON body of your request.")


def test_hyperparameters_out_of_range(http: httpx.Client) -> None:
    for name, value in (
        ("n_epochs", 51),
        ("n_epochs", 0),
        ("batch_size", 257),
        ("learning_rate_multiplier", 0),
    ):
        body = {"model": "afina-tiny", "training_file": "f", "hyperparameters": {name: value}}
        assert refused(http.post(JOBS, json=body), 400)["param"] == f"hyperparameters.{name}"


def test_keys_that_are_none(server: Server) -> None:
    for headers in ({}, {"authorization": "Basic abc"}, {"authorization": "Bearer"}):
        error = refused(httpx.get(f"{server.url}/v1/models", headers=headers), 401)
        assert error["message"].startswith("You didn't provide an API key.")
    for key in ("sk-" + CANARY, CANARY * 500):
        error = refused(httpx.get(f"{server.url}/v1/models", headers={"authorization": f"Bearer {key}"}), 401)
        assert error["code"] == "invalid_api_key"


@pytest.mark.parametrize("id", ["../../etc/passwd", "%2e%2e%2f", "%00", "x" * 5000, CANARY[:4]])
def test_ids_that_are_paths(http: httpx.Client, id: str) -> None:
    for path in (f"/v1/files/{id}", f"{JOBS}/{id}", f"/v1/models/{id}"):
        assert refused(http.get(path), 404)["type"] == "invalid_request_error"


def test_uploads_without_their_parts(http: httpx.Client, server: Server) -> None:
    headers = {"authorization": f"Bearer {KEY}"}
    content = ("rows.jsonl", jsonl(examples()))

    def send(**form: object) -> httpx.Response:
        return httpx.post(f"{server.url}/v1/files", headers=headers, timeout=60, **form)

    assert refused(send(files={"file": content}), 400)["param"] == "purpose"
    assert refused(send(files={"purpose": (None, "fine-tune")}), 400)["param"] == "file"
    nothing = {"file": ("rows.jsonl", b"")}
    assert refused(send(files=nothing, data={"purpose": "fine-tune"}), 400)["code"] == "empty_file"
    output = {"purpose": "fine-tune-results"}
    assert refused(send(files={"file": content}, data=output), 400)["code"] == "invalid_purpose"
    zipped = {"file": ("rows.jsonl", b"PK\x03\x04" + content[1])}
    assert refused(send(files=zipped, data={"purpose": "fine-tune"}), 400)["code"] == "invalid_file_format"
