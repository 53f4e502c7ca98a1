"""Requests that must be refused, each with its whole error, word for word."""

from dataclasses import dataclass, field

from fastapi.testclient import TestClient

JOBS, CHAT, FILES, UPLOADS = "/v1/fine_tuning/jobs", "/v1/chat/completions", "/v1/files", "/v1/uploads"
SHARES = "/v1/fine_tuning/checkpoints/ft:x/permissions"
ROW = b'{"messages": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello."}]}\n'
NEW = {"filename": "rows.bin", "purpose": "assistants", "bytes": 6, "mime_type": "text/plain"}
HI = [{"role": "user", "content": "Hi"}]
UNPARSED = "We could not parse the JSON body of your request."
NO_KEY = "You didn't provide an API key. Provide it in an Authorization header using Bearer auth."
WRONG_KEY = (
    "Incorrect API key provided. Create one with `afina keys create`, or ask the owner of the project."
)


@dataclass(frozen=True)
class Bad:
    """An entry of the page: a request, and the error that answers it."""

    entry: str
    method: str
    path: str
    message: str
    status: int = 400
    param: str | None = None
    code: str | None = "invalid_value"
    json: object = None
    content: bytes | None = None
    headers: dict[str, str] = field(default_factory=dict)

    def check(self, client: TestClient) -> None:
        """Send it; the whole error has to come back."""
        sent = (
            {"json": self.json}
            if self.content is None and self.json is not None
            else {"content": self.content}
        )
        reply = client.request(self.method, self.path, headers=self.headers, **sent)
        expected = {
            "message": self.message,
            "type": "invalid_request_error",
            "param": self.param,
            "code": self.code,
        }
        assert (reply.status_code, reply.json()["error"]) == (self.status, expected)
        assert reply.headers["x-request-id"]


def body(entry: str, content: bytes, why: str = "") -> Bad:
    json = {"content-type": "application/json"}
    message = f"{UNPARSED} {why}".strip()
    return Bad(entry, "POST", JOBS, message, code="invalid_json", content=content, headers=json)


def form(
    entry: str, message: str, *parts: tuple[str, bytes], param: str | None = "file", code: str, status=400
) -> Bad:
    pieces = [
        b"--xyz\r\ncontent-disposition: form-data; " + name.encode() + b"\r\n\r\n" + value + b"\r\n"
        for name, value in parts
    ]
    headers = {"content-type": "multipart/form-data; boundary=xyz"}
    content = b"".join(pieces) + b"--xyz--\r\n"
    return Bad(entry, "POST", FILES, message, status, param, code, content=content, headers=headers)


def named(filename: str, content: bytes = ROW * 10) -> tuple[str, bytes]:
    return f'name="file"; filename="{filename}"', content


def chat(entry: str, message: str, param: str, code: str | None = "invalid_value", **fields: object) -> Bad:
    json = {"model": "afina-tiny", "messages": HI, **fields}
    return Bad(entry, "POST", CHAT, message, param=param, code=code, json=json)


def schema(entry: str, why: str, **schema: object) -> Bad:
    form = {"type": "json_schema", "json_schema": {"name": "n", "schema": schema}}
    message = f"Invalid schema for response_format 'n': {why}"
    return chat(entry, message, "response_format", None, response_format=form)
