"""Folders of a tiny model for tests to damage, and a small hub that offers one of them."""

import hashlib
import json
import shutil
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

import tiny_base

Change = Callable[..., None]


@pytest.fixture(scope="session")
def llama(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_base.make(tmp_path_factory.mktemp("llama"))


@pytest.fixture(scope="session")
def qwen3(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_base.make_qwen3(tmp_path_factory.mktemp("qwen3"))


@pytest.fixture
def folder(llama: Path, tmp_path: Path) -> Path:
    """A copy of one's own."""
    return Path(shutil.copytree(llama, tmp_path / "model"))


@pytest.fixture
def configure(folder: Path) -> Change:
    """Change keys of its config.json; None takes one away."""

    def change(**keys: object) -> None:
        path = folder / "config.json"
        config = json.loads(path.read_text()) | keys
        path.write_text(json.dumps({key: value for key, value in config.items() if value is not None}))

    return change


REPOSITORY = "lab/tiny"
COMMIT = "0123456789abcdef0123456789abcdef01234567"


@dataclass
class Hub:
    """What it offers, and which files were asked for."""

    folder: Path
    url: str = ""
    gated: bool = False
    sizes: dict[str, int] = field(default_factory=dict)  # what it claims, where that is not the truth
    cut: set[str] = field(default_factory=set)  # files that arrive without their end
    fetched: list[str] = field(default_factory=list)

    def files(self) -> list[Path]:
        return sorted(path for path in self.folder.rglob("*") if path.is_file())

    def name(self, path: Path) -> str:
        return str(path.relative_to(self.folder))

    def size(self, path: Path) -> int:
        return self.sizes.get(self.name(path), path.stat().st_size)


def oid(path: Path) -> str:
    return hashlib.sha1(path.read_bytes()).hexdigest()


class Route(BaseHTTPRequestHandler):
    hub: Hub
    protocol_version = "HTTP/1.1"

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        path = self.path.split("?")[0]
        if path.startswith(f"/api/models/{REPOSITORY}"):
            self.describe(path.removeprefix(f"/api/models/{REPOSITORY}"))
        elif path.startswith(f"/{REPOSITORY}/resolve/{COMMIT}/"):
            self.file(path.removeprefix(f"/{REPOSITORY}/resolve/{COMMIT}/"))
        else:
            self.refuse(404, "RepoNotFound")

    def describe(self, rest: str) -> None:
        if rest.startswith("/revision/") and rest not in ("/revision/main", f"/revision/{COMMIT}"):
            return self.refuse(404, "RevisionNotFound")
        if rest.startswith("/tree/"):
            return self.json(
                [
                    {
                        "type": "file",
                        "path": self.hub.name(path),
                        "size": self.hub.size(path),
                        "oid": oid(path),
                    }
                    for path in self.hub.files()
                ]
            )
        siblings = [
            {"rfilename": self.hub.name(path), "size": self.hub.size(path)} for path in self.hub.files()
        ]
        return self.json({"id": REPOSITORY, "sha": COMMIT, "siblings": siblings})

    def file(self, name: str) -> None:
        if self.hub.gated:
            return self.refuse(403, "GatedRepo")
        path = self.hub.folder / name
        content = path.read_bytes()
        self.send_response(200)
        self.send_header("ETag", f'"{oid(path)}"')
        self.send_header("X-Repo-Commit", COMMIT)
        self.send_header("Content-Length", str(len(content)))
        self.send_header("Connection", "close")
        self.end_headers()
        if self.command == "GET":
            self.hub.fetched.append(name)
            self.wfile.write(content[: len(content) // 2] if name in self.hub.cut else content)
            self.close_connection = True
        return None

    def json(self, document: object) -> None:
        content = json.dumps(document).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def refuse(self, status: int, code: str) -> None:
        self.send_response(status)
        self.send_header("X-Error-Code", code)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        pass


@contextmanager
def serving(folder: Path) -> Iterator[Hub]:
    hub = Hub(folder)
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Route", (Route,), {"hub": hub}))
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    hub.url = f"http://127.0.0.1:{server.server_address[1]}"
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@pytest.fixture
def hub(folder: Path) -> Iterator[Hub]:
    """A hub that offers the folder as `lab/tiny`."""
    with serving(folder) as running:
        yield running
