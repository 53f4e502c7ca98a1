"""The medical assistant's eight steps, played as a user plays them, with everything that they send recorded."""

import ast
import importlib.util
import json
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import cast

import openai
import pytest

from afina_server import FINAL, KEY, Server, ended, events, jsonl, rows, served, tune, upload
from openai_wire import Asked, Wire, strange_in

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "examples" / "medical_assistant"
STEPS = sorted(FOLDER.glob("[1-8]_*.py"))
CLINIC = ROOT / "examples" / "data" / "clinic_train.jsonl"
MEDQUAD = ROOT.parent / "shared/data/dev/medquad_train_short_64.jsonl"
MOST_LINES = 59


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with served(tmp_path_factory.mktemp("assistant")) as running:
        yield running


@pytest.fixture
def wire(server: Server) -> Iterator[Wire]:
    with Wire(server.url) as between:
        thread = threading.Thread(target=between.serve_forever)
        thread.start()
        yield between
        between.shutdown()
        thread.join()


@dataclass(frozen=True)
class Desk:
    """Where somebody works through the steps: an empty folder and the three variables."""

    folder: Path
    url: str
    model: str

    def start(self, step: int, *arguments: str | Path) -> "subprocess.Popen[str]":
        environment = {"OPENAI_BASE_URL": f"{self.url}/v1", "OPENAI_API_KEY": KEY, "OPENAI_MODEL": self.model}
        return subprocess.Popen(
            [sys.executable, STEPS[step - 1], *arguments],
            env=environment,
            cwd=self.folder,
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            preexec_fn=partial(signal.signal, signal.SIGINT, signal.default_int_handler),
        )

    def run(self, step: int, *arguments: str | Path, exit_code: int = 0) -> str:
        """What a step prints, all of it; errors come last."""
        with self.start(step, *arguments) as running:
            said, complained = running.communicate()
        assert running.returncode == exit_code, said + complained
        assert not complained or exit_code, complained
        assert "Traceback" not in complained, complained
        return said + complained

    def file(self, name: str) -> list[dict[str, list[dict[str, str]]]]:
        return [json.loads(line) for line in (self.folder / "medical_assistant_run" / name).open()]

    def state(self) -> dict[str, str]:
        return json.loads((self.folder / "medical_assistant_run" / "state.json").read_text())


def test_the_recorder_would_see_a_field_of_ours() -> None:
    body = {"model": "m", "training_file": "f", "method": {"type": "supervised", "supervised": {"rank": 1}}}
    ours = Asked("POST", "/v1/fine_tuning/jobs", {}, {}, json.dumps({**body, "afina": {}}).encode())
    assert strange_in(ours) == ["body.method.supervised.rank", "body.afina"]
    assert strange_in(Asked("GET", "/v1/afina/estimates", {}, {}, b"")) == ["GET /v1/afina/estimates"]
    form = b'Content-Disposition: form-data; name="afina"'
    assert strange_in(Asked("POST", "/v1/files", {}, {"x-afina-a": ""}, form)) == ["x-afina-a", "afina"]
    spoken = {"model": "m", "messages": [{"role": "user", "content": "a", "weight": 1}], "max_tokens": "1"}
    chat = Asked("POST", "/v1/chat/completions", {}, {}, json.dumps(spoken).encode())
    assert len(strange_in(chat)) == 2


@pytest.mark.parametrize("path", [*STEPS, FOLDER / "state.py"], ids=lambda path: path.name)
def test_a_step_is_short_and_needs_the_client_alone(path: Path) -> None:
    assert len(STEPS) == 8
    source = path.read_text()
    assert source.count("\n") <= MOST_LINES or path not in STEPS
    imported: set[str] = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            imported |= {name.name.split(".")[0] for name in node.names}
        elif isinstance(node, ast.ImportFrom):
            imported.add((node.module or "").split(".")[0])
    assert imported - sys.stdlib_module_names <= {"openai", "state"}


@pytest.mark.parametrize("step", range(1, 9))
def test_a_step_explains_itself(step: int, tmp_path: Path) -> None:
    assert "--folder" in Desk(tmp_path, "http://127.0.0.1:9", "none").run(step, "--help")


def loaded(step: int, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.setattr(sys, "path", [str(FOLDER), *sys.path])
    spec = importlib.util.spec_from_file_location(f"step_{step}", STEPS[step - 1])
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_price_of_openai_s_own_example(monkeypatch: pytest.MonkeyPatch) -> None:
    assert loaded(3, monkeypatch).price(100_000, 3, 8) == 2.40


def test_the_measures_of_an_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    step = loaded(8, monkeypatch)
    assert step.measured("La fiebre sube.", "la FIEBRE baja, y baja") == (2 / 4, 3 / 5)
    assert step.measured("", "rest") == (0, 0)
    assert step.interval([0.5] * 8) == " 0.50 [ 0.50,  0.50]"
    low, high = map(float, re.findall(r"[\d.]+", step.interval([0.0, 1.0] * 50))[1:])
    assert 0.35 < low < 0.45 and 0.55 < high < 0.65


def write(path: Path, examples: object) -> Path:
    path.write_bytes(jsonl(cast(list[dict[str, object]], examples)))
    return path


def lines(path: Path, count: int, holding: str = "") -> list[dict[str, object]]:
    """Some rows of a file, from all over it."""
    found = [line for line in path.read_text(encoding="utf-8").splitlines() if holding in line]
    return [json.loads(line) for line in found[:: max(1, len(found) // count)]][:count]


@pytest.fixture
def desk(tmp_path: Path, wire: Wire) -> Desk:
    return Desk(tmp_path, wire.url, "gpt-4o-mini-2024-07-18")


@pytest.fixture
def alone(tmp_path: Path) -> Desk:
    """For the steps that talk to nobody."""
    return Desk(tmp_path, "http://127.0.0.1:9", "none")


def test_rows_keep_their_side_when_others_are_added(alone: Desk) -> None:
    before = rows(60)
    alone.run(1, "--data", write(alone.folder / "rows.jsonl", before), "--system", "Be brief.")
    first = {side: alone.file(f"{side}.jsonl") for side in ("train", "held_out")}
    assert sum(map(len, first.values())) == 60 and 3 <= len(first["held_out"]) <= 25
    twice = [*rows(30, first=500), *before, before[0], *rows(60, answer="Somebody else: {name}, {number}.")]
    said = alone.run(1, "--data", write(alone.folder / "rows.jsonl", twice), "--system", "Be brief.")
    assert sum(int(count) for count in re.findall(r"(\d+) duplicates", said)) == 1
    asked: dict[str, set[str]] = {}
    for side, held in first.items():
        now = alone.file(f"{side}.jsonl")
        assert all(row in now for row in held)
        assert all(row["messages"][0] == {"role": "system", "content": "Be brief."} for row in now)
        asked[side] = {row["messages"][1]["content"] for row in now}
    assert asked["train"] & asked["held_out"] == set()


def test_a_row_without_a_question_is_named_by_its_line(alone: Desk) -> None:
    data = write(alone.folder / "rows.jsonl", [*rows(3), {"messages": ()}])
    assert "line 4" in alone.run(1, "--data", data, exit_code=1)


def test_a_side_without_rows_is_refused(alone: Desk) -> None:
    said = alone.run(1, "--data", write(alone.folder / "rows.jsonl", rows(12)), "--share", "0", exit_code=1)
    assert "change --share" in said


def test_a_step_done_again_forgets_what_came_of_it(alone: Desk) -> None:
    arguments = ("--data", write(alone.folder / "rows.jsonl", rows(30)))
    alone.run(1, *arguments)
    path = alone.folder / "medical_assistant_run" / "state.json"
    path.write_text(json.dumps({**alone.state(), "job": "ftjob-1", "model": "ft:a:b:c:d"}))
    alone.run(1, *arguments, "--system", "Be kind.")
    assert alone.state() == {"system": "Be kind."}


FAULTY: dict[str, object] = {
    "data_type": ["no", "object"],
    "missing_messages_list": {"messages": []},
    "message_missing_key": {"messages": [{"role": "assistant", "content": "a"}, {"content": "a"}]},
    "message_unrecognized_key": {"messages": [{"role": "assistant", "content": "a", "mood": "b"}]},
    "unrecognized_role": {
        "messages": [{"role": "assistant", "content": "a"}, {"role": ["x"], "content": "a"}]
    },
    "missing_content": {"messages": [{"role": "user", "content": ""}, {"role": "assistant", "content": "a"}]},
    "example_missing_assistant_message": {"messages": [{"role": "user", "content": "a"}]},
}


@pytest.mark.parametrize("name", FAULTY)
def test_the_check_knows_the_cookbook_s_faults(name: str, alone: Desk) -> None:
    data = write(alone.folder / "rows.jsonl", [*rows(2), FAULTY[name], *rows(1)])
    assert f"{name}: 1 rows, first in line 3" in alone.run(2, data, exit_code=1)


def test_the_check_lets_tools_pass(alone: Desk) -> None:
    call: object = {"id": "a", "type": "function", "function": {"name": "look", "arguments": "{}"}}
    talk: object = [
        {"role": "user", "content": "Look."},
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "a", "content": "seen"},
        {"role": "assistant", "content": "I have."},
    ]
    said = alone.run(2, write(alone.folder / "rows.jsonl", [{"messages": talk}, *rows(1)]), "--limit", "5")
    assert "n_missing_system: 2" in said and "n_missing_user: 0" in said
    assert "messages per example: min 2, median 3, max 4" in said
    assert "over 5 tokens of four characters: 1" in said


@pytest.mark.parametrize("step", range(2, 9))
def test_a_step_too_early_names_the_one_before(step: int, alone: Desk) -> None:
    assert re.search(r"run [1-6]_\w+\.py first", alone.run(step, exit_code=1))


def test_a_file_that_is_not_there_is_one_line(alone: Desk) -> None:
    for step, arguments in ((1, ("--data", "nowhere.jsonl")), (2, ("nowhere.jsonl",))):
        said = alone.run(step, *arguments, exit_code=1)
        assert said.count("\n") == 1 and "'nowhere.jsonl'" in said
    alone.run(1)
    (alone.folder / "medical_assistant_run" / "train.jsonl").unlink()
    for step in (2, 3, 4):
        said = alone.run(step, exit_code=1)
        assert said.count("\n") == 1 and "train.jsonl" in said


def test_rows_in_another_encoding_are_named_by_their_line(alone: Desk) -> None:
    data = alone.folder / "rows.jsonl"
    data.write_bytes(jsonl(rows(2)) + '{"messages": "ñ"}\n'.encode("latin-1"))
    assert "line 3" in alone.run(1, "--data", data, exit_code=1)
    assert "data_type: 1 rows, first in line 3" in alone.run(2, data, exit_code=1)


def test_a_server_that_is_down_is_one_line(alone: Desk) -> None:
    alone.run(1)
    said = alone.run(4, exit_code=1)
    assert said == f"{alone.url}/v1: Connection error.\n"


def test_a_wrong_key_is_one_line(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    desk.run(1)
    monkeypatch.setattr(sys.modules[__name__], "KEY", "sk-of-nobody")
    said = desk.run(4, exit_code=1)
    assert said.count("\n") == 1 and "401" in said


def play(desk: Desk, client: openai.OpenAI, data: Path) -> None:
    """Steps 1 to 6; what each promises."""
    said = desk.run(1, "--data", data)
    assert sum(int(count) for count in re.findall(r"(\d+) rows", said)) == data.read_bytes().count(b"\n")
    assert re.search(r"next: python \S+2_check\.py\n", said)
    assert desk.run(2).count(", 0 faults") == 2
    counted = re.search(r"about ([\d,]+) tokens in (\d+) rows", desk.run(3, "--epochs", "1", "--sample", "8"))
    assert counted is not None and int(counted[2]) == len(desk.file("train.jsonl"))
    desk.run(4)
    for name, side in (("training_file", "train"), ("validation_file", "held_out")):
        there = client.files.content(desk.state()[name]).read()
        assert there == (desk.folder / "medical_assistant_run" / f"{side}.jsonl").read_bytes()
    desk.run(5, "--epochs", "1", "--batch-size", "16")
    watched = desk.run(6)
    job = client.fine_tuning.jobs.retrieve(desk.state()["job"])
    assert job.status == "succeeded" and job.trained_tokens is not None
    assert [event.message for event in events(client, job.id)] == watched.split("\n\n")[0].splitlines()
    assert re.search(r"train_loss: \d\.\d+ at first, \d\.\d+ at last", watched)
    assert re.search(r"valid_loss: \d\.\d+ at first, \d\.\d+ at last", watched)
    assert desk.state()["model"] == job.fine_tuned_model
    assert job.hyperparameters.n_epochs == 1 and job.hyperparameters.batch_size == 16
    assert int(counted[1].replace(",", "")) == pytest.approx(job.trained_tokens, rel=0.2)


def ask_and_evaluate(desk: Desk) -> None:
    """Steps 7 and 8, briefly."""
    said = desk.run(7, "What is a fever?")
    assert f"--- {desk.model}" in said and f"--- {desk.state()['model']}" in said
    said = desk.run(8, "--rows", "2")
    assert said.count("question:  ") == 2 and "2 rows; mean" in said
    assert len(re.findall(r"-?\d\.\d\d \[-? ?-?\d\.\d\d, +-?\d\.\d\d\]", said)) == 6


def test_the_eight_steps_on_the_clinic_s_rows(desk: Desk, wire: Wire, server: Server) -> None:
    with server.client() as client:
        play(desk, client, write(desk.folder / "rows.jsonl", lines(CLINIC, 30)))
        ask_and_evaluate(desk)
    assert [found for asked in wire.asked for found in strange_in(asked)] == []
    assert all(asked.headers["authorization"] == f"Bearer {KEY}" for asked in wire.asked)
    posted = [asked for asked in wire.asked if asked.method == "POST"]
    paths = [asked.path for asked in posted]
    assert paths.count("/v1/files") == 2 and paths.count("/v1/fine_tuning/jobs") == 1
    chats = [json.loads(asked.body) for asked in posted if asked.path.endswith("completions")]
    assert len(chats) == 8 + 2 + 4 and all(chat["messages"][0]["role"] == "system" for chat in chats)


@pytest.mark.skipif(not MEDQUAD.exists(), reason="the rows of MedQuAD are not beside the project")
def test_the_eight_steps_on_medquad(desk: Desk, wire: Wire, server: Server) -> None:
    data = write(desk.folder / "rows.jsonl", lines(MEDQUAD, 60))
    with server.client() as client:
        play(desk, client, data)
    ask_and_evaluate(desk)
    assert [found for asked in wire.asked for found in strange_in(asked)] == []


def test_the_first_steps_in_spanish(desk: Desk) -> None:
    system = "Usted atiende las consultas de una clínica. Responda en español, con brevedad."
    data = write(desk.folder / "consultas.jsonl", lines(CLINIC, 40, holding="¿"))
    desk.run(1, "--data", data, "--system", system, "--share", "0.3", "--folder", "ensayo")
    assert ", 0 faults" in desk.run(2, "--folder", "ensayo")
    said = desk.run(3, "--folder", "ensayo", "--usd-per-million", "8")
    assert "at $8.00 per million" in said and said.endswith("4_upload.py --folder ensayo\n")
    trained = (desk.folder / "ensayo/train.jsonl").read_text(encoding="utf-8").splitlines()
    assert all("¿" in row and json.loads(row)["messages"][0]["content"] == system for row in trained)


def noted(desk: Desk, job: str) -> None:
    folder = desk.folder / "medical_assistant_run"
    folder.mkdir()
    (folder / "state.json").write_text(json.dumps({"job": job}))


def test_watching_a_job_that_fails(desk: Desk, server: Server) -> None:
    with server.client() as client:
        job = ended(client, tune(client, upload(client, jsonl(rows(3))).id).id)
    assert job.error is not None
    noted(desk, job.id)
    assert job.error.message in desk.run(6, exit_code=1)


def test_leaving_a_job_that_is_watched(desk: Desk, server: Server) -> None:
    with server.client() as client:
        job = tune(client, upload(client, jsonl(rows(64))).id, n_epochs=50, batch_size=1).id
        noted(desk, job)
        with desk.start(6) as watching:
            assert watching.stdout is not None and "Created" in watching.stdout.readline()
            watching.send_signal(signal.SIGINT)
            said = watching.stdout.read()
        assert watching.returncode == 130 and f"{job} goes on without you" in said
        assert client.fine_tuning.jobs.retrieve(job).status not in FINAL
        client.fine_tuning.jobs.cancel(job)
