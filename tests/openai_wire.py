"""Between a client and a server: what goes over the wire, held against the types of the `openai` package."""

import json
import re
from dataclasses import dataclass
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import UnionType
from typing import Literal, Union, cast, get_args, get_origin, get_type_hints
from urllib.parse import parse_qs, urlsplit

import httpx
from openai.types import FileCreateParams
from openai.types.chat.completion_create_params import CompletionCreateParams
from openai.types.fine_tuning import JobCreateParams, JobListEventsParams
from typing_extensions import is_typeddict

BODIES: dict[str, object] = {
    "POST /v1/chat/completions": CompletionCreateParams,
    "POST /v1/fine_tuning/jobs": JobCreateParams,
}
PLAIN = (
    "GET /v1/files/ID",
    "GET /v1/files/ID/content",
    "GET /v1/fine_tuning/jobs/ID",
    "GET /v1/fine_tuning/jobs/ID/events",
)


@dataclass(frozen=True)
class Asked:
    """One request as it went over the wire."""

    method: str
    path: str
    query: dict[str, list[str]]
    headers: dict[str, str]
    body: bytes


class Wire(ThreadingHTTPServer):
    """Stands between the steps and a server, hands everything through and keeps what was asked."""

    daemon_threads = True

    def __init__(self, target: str):
        super().__init__(("127.0.0.1", 0), Relay)
        self.target = target
        self.asked: list[Asked] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class Relay(BaseHTTPRequestHandler):
    """One connection through a `Wire`."""

    def relay(self) -> None:
        wire = cast(Wire, self.server)
        headers = {name.lower(): value for name, value in self.headers.items()}
        body = self.rfile.read(int(headers.get("content-length", "0")))
        url = urlsplit(self.path)
        wire.asked.append(Asked(self.command, url.path, parse_qs(url.query), headers, body))
        kept = {name: value for name, value in headers.items() if name not in ("host", "connection")}
        asked = partial(httpx.stream, self.command, wire.target + self.path, headers=kept, content=body)
        with asked(timeout=240, trust_env=False) as reply:
            self.send_response(reply.status_code)
            for name, value in reply.headers.items():
                if name not in ("transfer-encoding", "connection"):
                    self.send_header(name, value)
            self.end_headers()
            for part in reply.iter_raw():
                self.wfile.write(part)

    do_GET = do_POST = relay

    def log_message(self, format: str, *args: object) -> None:
        """Nothing: what went over the wire is looked at in the tests."""


def strange(value: object, expected: object, at: str = "body") -> list[str]:
    """The places where a value is not what the client's type of it says."""
    origin, arms = get_origin(expected), get_args(expected)
    if origin in (Union, UnionType):
        return min((strange(value, arm, at) for arm in arms), key=len)
    if origin is Literal:
        return [] if value in arms else [at]
    if is_typeddict(expected):
        return strange_keys(value, get_type_hints(expected), at)
    if origin is dict:
        return [] if isinstance(value, dict) else [at]
    if origin is not None:  # Iterable and the client's SequenceNotStr
        if not isinstance(value, list):
            return [at]
        return [
            found
            for place, one in enumerate(cast(list[object], value))
            for found in strange(one, arms[0], f"{at}[{place}]")
        ]
    kinds = (int, float) if expected is float else expected
    return [] if isinstance(value, cast(type, kinds)) else [at]


def strange_keys(value: object, known: dict[str, object], at: str) -> list[str]:
    if not isinstance(value, dict):
        return [at]
    found: list[str] = []
    for key, inner in cast(dict[str, object], value).items():
        found += strange(inner, known[key], f"{at}.{key}") if key in known else [f"{at}.{key}"]
    return found


def form_fields(asked: Asked) -> list[str]:
    return re.findall(r'form-data; name="([^"]+)"', asked.body.decode())


def strange_in(asked: Asked) -> list[str]:
    """What in a request is none of OpenAI's: path, query, header, or field of the body."""
    path = re.sub(r"/(file|ftjob)-\w+", "/ID", asked.path)
    route = f"{asked.method} {path}"
    found = [name for name in asked.headers if "afina" in name]
    if route == "GET /v1/fine_tuning/jobs/ID/events":
        found += [name for name in asked.query if name not in get_type_hints(JobListEventsParams)]
    elif asked.query:
        found += asked.query
    if route == "POST /v1/files":
        return found + [name for name in form_fields(asked) if name not in get_type_hints(FileCreateParams)]
    if route in BODIES:
        return found + strange(json.loads(asked.body), BODIES[route])
    plain = (
        "/v1/files/ID",
        "/v1/files/ID/content",
        "/v1/fine_tuning/jobs/ID",
        "/v1/fine_tuning/jobs/ID/events",
    )
    return found if asked.method == "GET" and path in plain else [*found, route]
