"""Sections A, B and E of the reliability page: any endpoint, files and uploads."""

import socket

import pytest
from fastapi.testclient import TestClient

from bad_requests import (
    CHAT,
    FILES,
    JOBS,
    NEW,
    NO_KEY,
    UPLOADS,
    WRONG_KEY,
    Bad,
    body,
    form,
    named,
)

PURPOSE = ('name="purpose"', b"fine-tune")
SECONDS = ('name="expires_after[seconds]"', b"3599")
ANCHOR = ('name="expires_after[anchor]"', b"created_at")
PURPOSES = "Supported values are: 'assistants', 'batch', 'fine-tune', 'vision', 'user_data', 'evals'."
ANY_ENDPOINT = [
    Bad("A1", "GET", FILES, NO_KEY, 401, code=None, headers={"authorization": ""}),
    Bad("A2", "GET", FILES, NO_KEY, 401, code=None, headers={"authorization": "Basic abc"}),
    Bad("A4", "GET", FILES, WRONG_KEY, 401, None, "invalid_api_key", headers={"authorization": "Bearer x"}),
    Bad(
        "A7",
        "GET",
        FILES,
        WRONG_KEY,
        401,
        None,
        "invalid_api_key",
        headers={"authorization": "Bearer " + "x" * 10_000},
    ),
    Bad("A11", "POST", "/v1/x", "Invalid URL (POST /v1/x)", 404, code="unknown_url"),
    Bad("A12", "PUT", "/v1/models", "Not allowed to PUT on /v1/models", 405, code="method_not_allowed"),
    body("A14", b""),
    body("A15", b'{"model": "a",}'),
    body("A15", b"{} {}"),
    body("A16", b"[]", "Expected an object."),
    body("A16", b"null", "Expected an object."),
    body("A16", b'"text"', "Expected an object."),
    Bad(
        "A17",
        "POST",
        JOBS,
        "Unsupported Content-Type. Send 'application/json'.",
        415,
        code="unsupported_media_type",
        content=b"{}",
        headers={"content-type": "text/plain"},
    ),
    Bad(
        "A19",
        "POST",
        JOBS,
        "Request bodies may not be compressed: send them without Content-Encoding.",
        415,
        code="unsupported_media_type",
        content=b"\x1f\x8b",
        headers={"content-type": "application/json", "content-encoding": "gzip"},
    ),
    body("A22", b'{"a": ' * 65 + b"1" + b"}" * 65, "Reason: nesting deeper than 64."),
    body("A24", b'{"a": NaN}', "Reason: not a finite number."),
    body("A24", b'{"a": 1e999}', "Reason: not a finite number."),
    body("A25", b'{"a": ' + b"9" * 5000 + b"}", "Reason: number out of range."),
    body("A26", b'{"a": "\\ud800"}', "Reason: invalid Unicode escape."),
    *(
        Bad(
            "A29",
            "POST",
            path,
            "An Idempotency-Key has 1 to 255 ASCII characters.",
            code="invalid_idempotency_key",
            json={"model": "m", "training_file": "f"},
            headers={"idempotency-key": key},
        )
        for path in (JOBS, "/v1/conversations", "/v1/afina/keys", "/v1/responses", CHAT)
        for key in ("k" * 256, "")
    ),
    Bad("A30", "GET", f"{FILES}/..%2f..%2fx", "Invalid URL (GET /v1/files/../../x)", 404, code="unknown_url"),
    Bad("A30", "GET", f"{FILES}/%00", "No such File object: ?", 404, "id", None),
]
THE_FILES = [
    form("B31", "'file' is a required property", PURPOSE, code="missing_required_parameter"),
    form(
        "B32",
        "'purpose' is a required property",
        named("a.jsonl"),
        param="purpose",
        code="missing_required_parameter",
    ),
    form(
        "B34",
        f"Invalid 'purpose': this purpose is output-only. {PURPOSES}",
        named("a.jsonl"),
        ('name="purpose"', b"fine-tune-results"),
        param="purpose",
        code="invalid_purpose",
    ),
    form("B35", "File is empty.", named("a.jsonl", b""), PURPOSE, code="empty_file"),
    form(
        "B39",
        "The file's name is longer than 255 bytes.",
        named("a" * 250 + ".jsonl"),
        PURPOSE,
        code="invalid_filename",
    ),
    form("B40", "The file has no name.", named(".jsonl"), PURPOSE, code="invalid_filename"),
    form("B40", "The file has no name.", named(""), PURPOSE, code="invalid_filename"),
    form(
        "B41",
        "Invalid file format: the file must be a .jsonl file, and its name must say so.",
        named("a.csv"),
        PURPOSE,
        code="invalid_file_format",
    ),
    form(
        "B42",
        "Duplicate parameter 'file'.",
        named("a.jsonl"),
        named("a.jsonl"),
        PURPOSE,
        code="duplicate_parameter",
    ),
    Bad(
        "B45",
        "POST",
        FILES,
        "The Content-Type of a multipart body must name its boundary, 1 to 70 characters long.",
        code="invalid_multipart",
        content=b"--xyz--",
        headers={"content-type": "multipart/form-data"},
    ),
    form(
        "B47",
        "Invalid file format: looks like a ZIP archive, expected JSONL.",
        named("a.jsonl", b"PK\x03\x04" + bytes(30)),
        PURPOSE,
        code="invalid_file_format",
    ),
    form(
        "B49",
        "Invalid 'expires_after': anchor must be 'created_at' and seconds must be between 3600 and 2592000.",
        named("a.jsonl"),
        PURPOSE,
        ANCHOR,
        SECONDS,
        param="expires_after",
        code="invalid_value",
    ),
    Bad("B51", "GET", f"{FILES}?limit=10001", "Invalid 'limit': must be between 1 and 10000.", param="limit"),
    Bad("B51", "GET", f"{FILES}?limit=-1", "Invalid 'limit': must be between 1 and 10000.", param="limit"),
    Bad(
        "B51",
        "GET",
        f"{FILES}?limit=x",
        "Invalid type for 'limit': expected an integer.",
        param="limit",
        code="invalid_type",
    ),
    Bad(
        "B52",
        "GET",
        f"{FILES}?order=up",
        "Invalid 'order': supported values are 'asc' or 'desc'.",
        param="order",
    ),
    *(
        Bad("B54", method, f"{FILES}/file-x{rest}", "No such File object: file-x", 404, "id", None)
        for method, rest in (("GET", ""), ("GET", "/content"), ("DELETE", ""))
    ),
]
THE_UPLOADS = [
    Bad(
        "E139",
        "POST",
        UPLOADS,
        "Upload is too large. Max 8192 MB.",
        400,
        "bytes",
        "upload_too_large",
        json=NEW | {"bytes": 8 * 2**30 + 1},
    ),
    Bad("E144", "POST", f"{UPLOADS}/up_x/cancel", "No such Upload object: up_x", 404, "upload_id", None),
]
ALL = [*ANY_ENDPOINT, *THE_FILES, *THE_UPLOADS]


@pytest.mark.parametrize("bad", ALL, ids=lambda bad: bad.entry)
def test_the_whole_error(refusing: TestClient, bad: Bad):
    bad.check(refusing)


@pytest.mark.parametrize(
    ("entry", "headers"),
    [
        ("A20: negative", "Content-Length: -5"),
        ("A20: no number", "Content-Length: five"),
        ("A20: two that differ", "Content-Length: 2\r\nContent-Length: 3"),
        ("A20: with chunks", "Content-Length: 2\r\nTransfer-Encoding: chunked"),
    ],
)
def test_a_length_that_is_none_ends_the_connection(server: str, entry: str, headers: str):
    host, port = server.removeprefix("http://").split(":")
    head = f"POST {JOBS} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer sk-owner\r\n"
    head += f"Content-Type: application/json\r\n{headers}\r\n\r\n"
    with socket.create_connection((host, int(port)), timeout=20) as connection:
        connection.sendall(head.encode() + (b"0\r\n\r\n" if "chunked" in headers else b"{}"))
        reply = b"".join(iter(lambda: connection.recv(65536), b""))
    assert reply.startswith(b"HTTP/1.1 400 "), entry


def part(client: TestClient, upload: str, data: bytes):
    return client.post(f"{UPLOADS}/{upload}/parts", files={"data": ("part", data)})


def test_parts_and_their_ends(client: TestClient):
    """E142 to E151, in the life of one upload."""

    def refused(reply, message: str, param: str | None, code: str) -> None:
        expected = {"message": message, "type": "invalid_request_error", "param": param, "code": code}
        assert (reply.status_code, reply.json()["error"]) == (400, expected)

    upload = client.post(UPLOADS, json=NEW).json()["id"]
    refused(part(client, upload, b""), "Part is empty.", "data", "empty_part")
    first = part(client, upload, b"abcd").json()["id"]
    long = "The parts of this upload would have more than the 6 bytes that it was created for."
    refused(part(client, upload, b"efg"), long, "data", "upload_too_large")

    def complete(*ids: str, **fields: object):
        return client.post(f"{UPLOADS}/{upload}/complete", json={"part_ids": ids, **fields})

    short = "The parts do not add up to the upload: expected 6 bytes, got 4."
    refused(complete(first), short, "part_ids", "invalid_value")
    refused(complete("part_x"), "No such part of this upload: part_x", "part_ids", "invalid_part_id")
    twice = "Each part can be named only once in 'part_ids'."
    refused(complete(first, first), twice, "part_ids", "invalid_part_id")
    many = "Invalid 'part_ids': expected at most 10000 item(s)."
    refused(complete(*[first] * 10_001), many, "part_ids", "invalid_value")
    rest = part(client, upload, b"ef").json()["id"]
    wrong = "The MD5 of the uploaded bytes is not the one given."
    refused(complete(first, rest, md5="0" * 32), wrong, "md5", "checksum_mismatch")
    done = complete(first, rest).json()
    assert complete(first, rest).json() == done
    refused(part(client, upload, b"x"), "Upload is completed.", None, "upload_not_pending")
    again = client.post(f"{UPLOADS}/{upload}/cancel")
    refused(again, "Upload is completed.", None, "upload_not_pending")
