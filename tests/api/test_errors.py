"""One shape for every failure, and the headers that every reply carries."""

import httpx
import pytest
from fastapi.testclient import TestClient

from afina.api.rooms import Rooms
from afina.errors import CorruptBlob, Unavailable

JOBS = "/v1/fine_tuning/jobs"


def check(reply: httpx.Response, status: int, code: str | None) -> str:
    """The error has its four keys; returns its message."""
    assert reply.status_code == status, reply.text
    error = reply.json()["error"]
    assert set(error) == {"message", "type", "param", "code"} and error["code"] == code
    assert error["type"] == ("server_error" if status >= 500 else "invalid_request_error")
    return error["message"]


def test_every_reply_can_be_found_again(client: TestClient):
    replies = [
        client.get("/v1/models"),
        client.get("/v1/files/file-x"),
        client.get("/nowhere"),
        client.put("/v1/models"),
        client.get("/v1/models", headers={"authorization": "Bearer wrong"}),
        client.get("/healthz"),
        client.get("/"),
    ]
    ids = {reply.headers["x-request-id"] for reply in replies}
    assert len(ids) == len(replies) and all(found.startswith("req_") for found in ids)
    for reply in replies:
        assert (
            reply.headers["openai-version"] == "2020-10-01"
            and reply.headers["openai-processing-ms"].isdigit()
        )
    assert replies[0].headers["openai-organization"] == "personal"


@pytest.mark.parametrize(
    "path", ["/v1/x", "/v1", "/v1/files/", "/v1/fine_tuning/jobs/", "/docs", "/openapi.json"]
)
def test_an_unknown_path(refusing: TestClient, path: str):
    assert check(refusing.post(path), 404, "unknown_url") == f"Invalid URL (POST {path})"


@pytest.mark.parametrize(
    ("method", "path", "allow"),
    [
        ("PUT", "/v1/files", "GET, POST"),
        ("POST", "/v1/files/file-1", "DELETE, GET"),
        ("POST", "/v1/models/a%2Fb", "DELETE, GET"),
        ("GET", f"{JOBS}/j/cancel", "POST"),
        ("PUT", "/v1/chat/completions", "GET, POST"),
        ("GET", "/v1/completions", "POST"),
    ],
)
def test_a_wrong_verb(refusing: TestClient, method: str, path: str, allow: str):
    reply = refusing.request(method, path)
    check(reply, 405, "method_not_allowed")
    assert reply.headers["allow"] == allow


UNPARSED = "We could not parse the JSON body of your request."


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"", ""),
        (b'{"model": "a",}', ""),
        (b'{"model": "a"} {"model": "b"}', ""),
        (b"{'model': 1}", ""),
        (b"[]", "Expected an object"),
        (b"null", "Expected an object"),
        (b'"text"', "Expected an object"),
        (b"\xff\xfe{\x00}\x00", ""),
        (b'{"a": ' * 65 + b"1" + b"}" * 65, "nesting deeper than 64"),
        (b'{"a": NaN}', "not a finite number"),
        (b'{"a": 1e999}', "not a finite number"),
        (b'{"a": ' + b"9" * 5000 + b"}", "out of range"),
        (b'{"a": "\\ud800"}', "invalid Unicode"),
        (b'{"a": 1, "a": 2}', "duplicate key 'a'"),
    ],
)
def test_a_body_that_is_no_json_object(refusing: TestClient, body: bytes, words: str):
    for path in (JOBS, "/v1/chat/completions", "/v1/afina/keys"):
        reply = refusing.post(path, content=body, headers={"content-type": "application/json"})
        message = check(reply, 400, "invalid_json")
        assert message.startswith(UNPARSED) and words in message


@pytest.mark.parametrize(
    "media_type", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data"]
)
def test_a_body_of_another_type(refusing: TestClient, media_type: str):
    check(
        refusing.post(JOBS, content=b"{}", headers={"content-type": media_type}),
        415,
        "unsupported_media_type",
    )


def test_a_compressed_or_huge_body(client: TestClient):
    headers = {"content-type": "application/json", "content-encoding": "gzip"}
    check(client.post(JOBS, content=b"\x1f\x8b", headers=headers), 415, "unsupported_media_type")
    huge = b'{"model": "' + b"a" * (10 * 1024 * 1024) + b'"}'
    reply = client.post(JOBS, content=huge, headers={"content-type": "application/json"})
    check(reply, 413, "request_too_large")


def test_a_missing_and_an_unknown_parameter(client: TestClient):
    reply = client.post("/v1/chat/completions", json={"model": "afina-tiny"})
    assert check(reply, 400, "missing_required_parameter") == "Missing required parameter: 'messages'."
    reply = client.post(JOBS, json={"model": "m", "training_file": "f", "x\n" + "y" * 100: 1})
    assert check(reply, 400, "unknown_parameter") == f"Unknown parameter: 'x?{'y' * 62}'."


def test_too_many_or_too_long_headers(server: str):
    for headers in ([(f"x-{n}", "1") for n in range(101)], [("x-long", "a" * 17_000)]):
        reply = httpx.get(f"{server}/v1/models", headers=headers, trust_env=False)
        check(reply, 431, "request_header_fields_too_large")


def test_a_path_that_climbs(server: str):
    for path in ("%2e%2e%2f%2e%2e%2fetc", "..%2f..%2fx", "%00", "%ff", "a" * 5000):
        url = f"{server}/v1/files/{path}"
        reply = httpx.get(url, headers={"authorization": "Bearer sk-owner"}, trust_env=False)
        assert reply.status_code == 404 and "error" in reply.json()


def break_names(client: TestClient, monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    """Let every look for a model by its name fail."""
    rooms: Rooms = client.app.state.rooms  # type: ignore[attr-defined]

    def fail(project_id: str, name: str) -> None:
        raise error

    monkeypatch.setattr(rooms.router, "find", fail)


def test_what_nobody_expected(
    client: TestClient, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    break_names(client, monkeypatch, ZeroDivisionError("a secret"))
    reply = client.get("/v1/models/afina-tiny")
    message = check(reply, 500, None)
    assert "secret" not in message and "ZeroDivisionError" in caplog.text
    assert reply.headers["x-request-id"] in caplog.text


@pytest.mark.parametrize(
    ("error", "status", "headers"),
    [
        (Unavailable("Not now.", code="busy", retry_after=3), 503, {"retry-after": "3"}),
        (Unavailable("Never.", code="busy", retry_after=None), 503, {"x-should-retry": "false"}),
        (CorruptBlob("Damaged.", code="busy"), 500, {"x-should-retry": "false"}),
    ],
)
def test_the_client_is_told_whether_to_try_again(
    client: TestClient,
    monkeypatch: pytest.MonkeyPatch,
    error: Exception,
    status: int,
    headers: dict[str, str],
):
    break_names(client, monkeypatch, error)
    reply = client.get("/v1/models/afina-tiny")
    check(reply, status, "busy")
    found = {name: reply.headers[name] for name in ("retry-after", "x-should-retry") if name in reply.headers}
    assert found == headers


def test_the_front_page_and_health(client: TestClient):
    page = client.get("/")
    assert page.headers["content-type"].startswith("text/html")
    assert "OPENAI_BASE_URL=http://testserver/v1" in page.text
    health = client.get("/healthz")
    assert health.status_code == 200 and health.json()["database"] == "ok" and health.json()["version"]
