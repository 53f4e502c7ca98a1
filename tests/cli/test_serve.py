"""The real server under the real supervisor, as an operator meets it."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import openai
import pytest

from afina.cli import serve
from afina.cli.serve import forget, open_rows
from afina.errors import Unavailable
from afina.settings import Settings
from afina.store import keys, projects, work
from afina.store.database import Database

KEY = "sk-first"
AFINA = (sys.executable, "-c", "from afina.cli import main; main()")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Serving:
    """`afina serve --workers 0` with its first line of JSON read: it is ready."""

    def __init__(self, data: Path, key: str):
        self.port = free_port()
        self.data = data
        self.process = subprocess.Popen(
            (*AFINA, "serve", "--port", str(self.port), "--data", str(data), "--workers", "0", "--json"),
            env={**os.environ, "AFINA_API_KEY": key},
            stdout=subprocess.PIPE,
            stderr=(data.parent / "serve.log").open("a"),
        )
        assert self.process.stdout is not None
        self.ready = json.loads(self.process.stdout.readline())

    def client(self, key: str) -> openai.OpenAI:
        http_client = openai.DefaultHttpxClient(trust_env=False)
        return openai.OpenAI(base_url=self.ready["url"], api_key=key, http_client=http_client, max_retries=0)


@contextmanager
def serving(data: Path, key: str = KEY) -> Iterator[Serving]:
    one = Serving(data, key)
    try:
        yield one
    finally:
        one.process.terminate()
        assert one.process.wait(40) == 0
        assert one.process.stdout is not None
        one.process.stdout.close()


def test_the_life_of_an_installation(command, tmp_path):
    data = tmp_path / "data"
    with serving(data) as first:
        assert first.ready["api_key"] is None
        assert "afina-tiny" in [model.id for model in first.client(KEY).models.list()]
        again = command("serve", "--port", str(free_port()), "--data", str(data))
        assert again.code == 1
        assert f"is being served (process {first.process.pid})" in again.err.replace("\n", " ")
        checked = command("fsck", "--data", str(data))
        assert checked.code == 1
        assert "stop that server first" in checked.err
        elsewhere = command("serve", "--port", str(first.port), "--data", str(tmp_path / "other"))
        assert elsewhere.code == 1
        assert f"cannot listen on 127.0.0.1:{first.port}" in elsewhere.err
    assert command("fsck", "--data", str(data)).out == "every invariant holds\n"
    with serving(data, key="sk-second") as second:
        second.client(KEY).models.list()
        with pytest.raises(openai.AuthenticationError):
            second.client("sk-second").models.list()


def test_a_key_is_made_up_when_none_is_given_and_keys_are_looked_after(command, monkeypatch, tmp_path):
    with serving(tmp_path / "data", key="") as one:
        monkeypatch.setenv("OPENAI_BASE_URL", one.ready["url"])
        monkeypatch.setenv("OPENAI_API_KEY", one.ready["api_key"])
        made = json.loads(command("keys", "create", "colleague", "--role", "viewer", "--json").out)
        assert one.client(made["secret"]).models.list().data
        shown = [json.loads(line) for line in command("keys", "list", "--json").out.splitlines()]
        assert [key["name"] for key in shown] == ["colleague", "owner"]
        assert "secret" not in shown[0]
        assert command("keys", "revoke", made["id"]).out == f"revoked {made['id']}\n"
        assert "revoked" in command("keys", "list").out
        with pytest.raises(openai.AuthenticationError):
            one.client(made["secret"]).models.list()


def test_an_api_that_dies_comes_back(tmp_path):
    with serving(tmp_path / "data") as one:
        children = Path(f"/proc/{one.process.pid}/task/{one.process.pid}/children").read_text().split()
        os.kill(int(children[0]), signal.SIGKILL)
        end = time.monotonic() + 60
        while True:
            try:
                one.client(KEY).models.list()
                break
            except openai.APIConnectionError:
                assert time.monotonic() < end
        assert (
            Path(f"/proc/{one.process.pid}/task/{one.process.pid}/children").read_text().split() != children
        )


@pytest.fixture
def database(tmp_path):
    return Database(f"sqlite:///{tmp_path / 'afina.db'}")


def test_the_first_start_keeps_a_given_key_to_itself(database):
    assert open_rows(database, Settings(api_key=KEY)) is None
    with database.system() as system:
        assert keys.find(system, KEY) is not None


def test_only_the_first_start_makes_a_key_up(database):
    made_up = open_rows(database, Settings())
    assert made_up is not None
    assert open_rows(database, Settings()) is None
    with database.system() as system:
        key = keys.find(system, made_up)
        assert key is not None and key.role == "owner"


def test_what_a_dead_worker_held_is_free_at_once(database):
    open_rows(database, Settings(api_key=KEY))
    with database.system() as system:
        project = projects.every(system)[0]
    with database.scope(project.id) as scope:
        work.enqueue(scope, "ftjob-1", "train")
    with database.system() as system:
        claim = work.claim(system, "host:1:worker-1:a", ["train"], lease_seconds=600)
        assert claim is not None
        assert work.claim(system, "other", ["train"], lease_seconds=600) is None
    forget(database, "host:1:worker-1:a")
    with database.system() as system:
        again = work.claim(system, "other", ["train"], lease_seconds=600)
        assert again is not None and again.fence > claim.fence


def test_a_busy_database_does_not_end_the_supervisor(database, monkeypatch, caplog):
    open_rows(database, Settings(api_key=KEY))

    def busy(system, owner):
        raise Unavailable("the database is busy", code="database_busy")

    monkeypatch.setattr(serve.work, "release_owner", busy)
    forget(database, "host:1:worker-1:a")
    assert "release_failed" in caplog.text


@pytest.mark.parametrize(("environment", "led"), [("development", True), ("production", False)])
def test_the_welcome_says_whether_openai_names_are_known(environment, led, capsys):
    serve.Welcome(Settings(environment=environment), None, json=False).show()
    assert ("OpenAI's names lead to it" in capsys.readouterr().out) is led


def test_children_get_the_settings_and_not_the_key(tmp_path):
    settings = Settings(data=tmp_path, workers=2, api_key=KEY)
    api, *workers = serve.programs(settings)
    assert [program.label for program in (api, *workers)] == ["api", "worker-1", "worker-2"]
    assert {program.name_in for program in workers} == {"AFINA_WORKER"}
    assert api.environment["AFINA_DATA"] == str(tmp_path)
    assert KEY not in api.environment.values()
