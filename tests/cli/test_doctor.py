import json
import socket

import pytest

from afina.cli import doctor


def test_the_report_names_everything_once(command):
    ran = command("doctor", "--json")
    lines = [json.loads(line) for line in ran.out.splitlines()]
    assert ran.code == 0
    assert {"python", "memory", "disk", "sqlite", "port", "bubblewrap", "torch", "threads", "bf16"} <= {
        line["name"] for line in lines
    }
    assert all(line["cure"] for line in lines if line["level"] != "ok")


def test_a_taken_port_is_a_warning_with_a_cure():
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        seen = doctor.port("127.0.0.1", other.getsockname()[1])
    assert (seen.level, seen.cure) == ("warn", "end what uses it, or choose another with --port")


@pytest.mark.parametrize(
    ("version", "journal"),
    [((3, 40, 1), "rollback journal"), ((3, 51, 3), "write-ahead log")],
)
def test_the_version_of_sqlite_decides_on_the_journal(monkeypatch, version, journal):
    monkeypatch.setattr(doctor.sqlite3, "sqlite_version_info", version)
    assert doctor.sqlite().found.endswith(journal)


def test_a_data_directory_that_is_not_there_yet_is_judged_by_its_parent(tmp_path):
    assert str(tmp_path) in doctor.disk(tmp_path / "not" / "yet").found


def test_a_database_that_does_not_answer_is_bad(command, monkeypatch):
    monkeypatch.setattr(doctor, "torch", lambda settings: ())
    monkeypatch.setenv("AFINA_DATABASE_URL", "postgresql://nobody:secret@127.0.0.1:1/none")
    ran = command("doctor")
    assert ran.code == 1
    line = next(line for line in ran.out.splitlines() if "postgresql" in line)
    assert line.startswith(" bad")
    assert "AFINA_DATABASE_URL" in line
    assert "secret" not in ran.out
