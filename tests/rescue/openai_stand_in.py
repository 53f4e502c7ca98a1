"""OpenAI, as far as a rescue sees it, played by a real HTTP server: slow, cut, limited, forgetful, endless."""

import base64
import json
import os
import random
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

PROGRAM = Path(__file__).parents[2] / "rescue" / "afina_rescue.py"
KEY = "sk-a-key-that-must-be-nowhere-9f2c"
LONG_AGO, IN_2025 = 1_600_000_000, 1_750_000_000
MISSING = {"message": "No such object", "type": "invalid_request_error", "param": "id", "code": None}
UNKNOWN = {**MISSING, "message": "Invalid URL (GET /v1/x)", "code": "unknown_url"}

Object = dict[str, Any]


@dataclass
class Account:
    """What one account holds: lists by their path, contents by their file, and what goes wrong with which path."""

    lists: dict[str, list[Object]]
    contents: dict[str, bytes] = field(default_factory=dict[str, bytes])
    endless: set[str] = field(default_factory=set[str])
    refused: dict[str, tuple[int, Object]] = field(default_factory=dict[str, tuple[int, Object]])

    def file(self, ident: str, content: bytes, purpose: str = "fine-tune", **more: object) -> Object:
        """A file of the account's."""
        self.contents[ident] = content
        about = {
            "id": ident,
            "object": "file",
            "bytes": len(content),
            "created_at": IN_2025,
            "purpose": purpose,
        }
        self.lists["/files"].append({**about, "filename": f"{ident}.jsonl", **more})
        return self.lists["/files"][-1]


def empty() -> Account:
    return Account(
        {path: [] for path in ("/models", "/files", "/fine_tuning/jobs", "/evals", "/chat/completions")}
    )


def small() -> Account:
    """One tune with its job and files, one stored chat, one eval."""
    account = empty()
    account.file("file-train", b'{"messages": []}\n' * 20)
    table = b"step,train_loss\n1,0.5\n2,0.25\n"
    account.file("file-result", base64.b64encode(table), "fine-tune-results")
    tune(account, 1, training_file="file-train", result_files=["file-result"])
    account.lists["/chat/completions"].append(
        {"id": "chatcmpl-1", "object": "chat.completion", "model": "gpt-4o"}
    )
    account.lists["/chat/completions/chatcmpl-1/messages"] = [
        {"id": "msg-1", "role": "user", "content": "¿Qué tal?"}
    ]
    evaluate(account, 1, items=3)
    return account


def tune(account: Account, number: int, *, status: str = "succeeded", events: int = 3, **more: object) -> str:
    """One job, with the model that came of it where it succeeded; the model's name."""
    ident = f"ftjob-{number:03}"
    model = f"ft:gpt-4o-mini-2024-07-18:clinic::{number:08}" if status == "succeeded" else None
    job = {"id": ident, "object": "fine_tuning.job", "model": "gpt-4o-mini-2024-07-18", "created_at": IN_2025}
    more = {"status": status, "fine_tuned_model": model, "organization_id": "org-clinic", **more}
    account.lists["/fine_tuning/jobs"].append({**job, **more})
    account.lists[f"/fine_tuning/jobs/{ident}/events"] = [
        {"id": f"ftevent-{number}-{n}", "message": f"Step {n}: training loss=0.{n}"} for n in range(events)
    ]
    metrics = {"step": 10, "train_loss": 0.5}
    account.lists[f"/fine_tuning/jobs/{ident}/checkpoints"] = [{"id": f"ftckpt_{number}", "metrics": metrics}]
    if model:
        account.lists["/models"].append(
            {"id": model, "object": "model", "created": IN_2025, "owned_by": "clinic"}
        )
    return model or ""


def evaluate(account: Account, number: int, *, items: int) -> None:
    """One eval with one finished run."""
    ident, run = f"eval_{number}", f"evalrun_{number}"
    account.lists["/evals"].append({"id": ident, "object": "eval", "name": f"eval {number}"})
    account.lists[f"/evals/{ident}/runs"] = [{"id": run, "object": "eval.run", "status": "completed"}]
    account.lists[f"/evals/{ident}/runs/{run}/output_items"] = [
        {"id": f"outputitem_{number}_{n}", "datasource_item": {"text": "ñ" * (n % 40)}} for n in range(items)
    ]


class Playing(BaseHTTPRequestHandler):
    """One request to the account."""

    protocol_version = "HTTP/1.1"
    server: "OpenAI"

    def log_message(self, format: str, *args: object) -> None:
        """The requests are kept in the server's log."""

    def do_GET(self) -> None:
        url = urlsplit(self.path)
        path, query = unquote(self.place()), {k: v[0] for k, v in parse_qs(url.query).items()}
        self.server.count("GET", path, query)
        if self.server.key not in (self.headers.get("api-key"), self.headers.get("authorization", "")[7:]):
            leaky = f"Incorrect API key provided: {self.headers.get('authorization')}"
            return self.fail(401, {**MISSING, "message": leaky, "code": "invalid_api_key"})
        if path in self.server.account.refused:
            return self.fail(*self.server.account.refused[path])
        fault = self.server.fault(self.path)
        if fault.startswith("429"):
            wait = {"429 seconds": {"retry-after": "0.05"}, "429 ms": {"retry-after-ms": "20"}}.get(fault, {})
            return self.fail(429, {**MISSING, "message": "slow down", "code": "rate_limit_exceeded"}, wait)
        if fault == "slow":
            self.server.pause.wait(0.03)
        body = self.server.body(path, query)
        if body is None:
            return self.fail(404, MISSING if path.count("/") > 1 else UNKNOWN)
        self.answer(200, body, cut=fault == "cut")
        self.server.served[path, query.get("after", ""), query.get("limit", "")] += fault != "cut"

    def do_POST(self) -> None:
        request = json.loads(self.rfile.read(int(self.headers["content-length"])))
        self.server.count("POST", self.place(), {})
        self.server.posted.append(request)
        status, body = self.server.chat(request)
        self.answer(status, json.dumps(body).encode())

    def place(self) -> str:
        """The path below where the API begins, at OpenAI or at Azure."""
        return urlsplit(self.path).path.removeprefix("/v1").removeprefix("/openai")

    def fail(
        self, status: int, error: Mapping[str, object], headers: Mapping[str, str] | None = None
    ) -> None:
        self.answer(status, json.dumps({"error": error}).encode(), headers=headers or {})

    def answer(
        self, status: int, body: bytes, *, cut: bool = False, headers: Mapping[str, str] | None = None
    ) -> None:
        self.send_response(status)
        for name, value in {"content-type": "application/json", **(headers or {})}.items():
            self.send_header(name, value)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body[: len(body) // 2] if cut else body)
        if cut:
            self.close_connection = True


class OpenAI(ThreadingHTTPServer):
    """An account behind a port of this machine; it remembers what was asked, and may kill who asks."""

    daemon_threads = True

    def __init__(self, account: Account):
        super().__init__(("127.0.0.1", 0), Playing)
        self.account, self.key, self.faulty = account, KEY, False
        self.pause, self.lock = threading.Event(), threading.Lock()
        self.asked: list[tuple[str, str, str]] = []
        self.served: Counter[tuple[str, str, str]] = Counter()
        self.posted: list[Object] = []
        self.seen: Counter[str] = Counter()
        self.victim: subprocess.Popen[str] | None = None
        self.kill_at = 0
        self.chat: Callable[[Object], tuple[int, Object]] = lambda request: (404, {"error": MISSING})

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that was killed hangs up; anything else is a fault of ours."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/v1"

    def count(self, method: str, path: str, query: Mapping[str, str]) -> None:
        """Remember a request; the one that was to be the victim's last kills it before it is answered."""
        with self.lock:
            self.asked.append((method, path, query.get("after", "")))
            if self.victim and len(self.asked) == self.kill_at:
                self.victim.kill()

    def fault(self, url: str) -> str:
        """What goes wrong with the first request for a URL, by the URL alone; later ones go well."""
        with self.lock:
            self.seen[url] += 1
            first = self.seen[url] == 1
        if not (self.faulty and first):
            return ""
        lot = random.Random(url).random()
        bounds = {"slow": 0.10, "cut": 0.15, "429": 0.18, "429 seconds": 0.20, "429 ms": 0.22}
        return next((fault for fault, bound in bounds.items() if lot < bound), "")

    def body(self, path: str, query: Mapping[str, str]) -> bytes | None:
        """What the account holds at a path: a page, an object or a content."""
        if path in self.account.lists:
            return json.dumps(self.page(path, query)).encode()
        parent, _, name = path.rpartition("/")
        if name == "content":
            return self.account.contents.get(parent.removeprefix("/files/"))
        found = [item for item in self.account.lists.get(parent, []) if item["id"] == name]
        return json.dumps(found[0]).encode() if found else None

    def page(self, path: str, query: Mapping[str, str]) -> Object:
        items, limit = self.account.lists[path], int(query.get("limit", "20"))
        ids = [item["id"] for item in items]
        start = ids.index(query["after"]) + 1 if query.get("after") in ids else 0
        if path in self.account.endless:
            return {"object": "list", "data": items[-limit:], "has_more": True}
        if path == "/models":
            return {"object": "list", "data": items}
        data = items[start : start + limit]
        return {"object": "list", "data": data, "has_more": start + limit < len(items)}


@dataclass(frozen=True)
class Done:
    """How a run of the tool ended, and all that it said."""

    code: int
    output: str


class Tool:
    """`afina_rescue.py` as a program of its own, against one server."""

    def __init__(self, server: OpenAI, folder: Path):
        self.server, self.folder = server, folder
        self.whom: tuple[str, ...] = ("--base-url", server.url)
        self.environment = {
            "PATH": os.environ["PATH"],
            "OPENAI_API_KEY": KEY,
            "NO_PROXY": "127.0.0.1",
            "LANG": "C.UTF-8",
            "HOME": str(folder.parent),
        }

    def start(self, command: str, *options: str, **popen: Any) -> "subprocess.Popen[str]":
        quick = [*self.whom, "--rate", "0", "--wait", "0.01"] if command != "report" else []
        where = [] if command == "inventory" else ["--folder", str(self.folder)]
        return subprocess.Popen(
            [sys.executable, str(PROGRAM), command, *quick, *where, *options],
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            **popen,
        )

    def run(self, command: str, *options: str, kill_after: int = 0, **popen: Any) -> Done:
        """One run to its end, or to the given number of its requests; its key is never in what it says."""
        process = self.start(command, *options, **popen)
        self.server.victim, self.server.kill_at = process, len(self.server.asked) + kill_after
        output, _ = process.communicate(timeout=200)
        self.server.victim = None
        assert self.server.key not in output
        assert "Traceback" not in output, output
        return Done(process.returncode, output)

    def objects(self, name: str) -> list[Object]:
        """What a list of the folder holds."""
        return [json.loads(line) for line in (self.folder / name).read_text().splitlines() if line]

    def gaps(self) -> dict[str, str]:
        """Paths of the folder that are missing, and why."""
        return {gap["path"]: gap["code"] for gap in self.objects("gaps.jsonl")}

    def saved(self) -> dict[str, Object]:
        """What the journal calls whole; a torn line does not count."""
        records: dict[str, Object] = {}
        journal = self.folder / "manifest.jsonl"
        for line in journal.read_bytes().split(b"\n") if journal.exists() else []:
            try:
                record = json.loads(line)
            except ValueError:
                continue
            records[record["path"]] = record
        return {name: record for name, record in records.items() if record["state"] == "saved"}


@contextmanager
def serving(account: Account) -> Generator[OpenAI]:
    """The account behind a port, as long as the block lasts."""
    server = OpenAI(account)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
