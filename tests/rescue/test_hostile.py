"""Servers that send what no API sends, and people in a hurry."""

import fcntl
import importlib.util
import json
import os
import sys
from pathlib import Path
from types import ModuleType

import pytest

from rescue.openai_stand_in import KEY, MISSING, PROGRAM, Object, OpenAI, Tool, evaluate, tune


@pytest.fixture(scope="module")
def module() -> ModuleType:
    """The tool as a module, for what asks nobody."""
    spec = importlib.util.spec_from_file_location("afina_rescue", PROGRAM)
    assert spec and spec.loader
    sys.modules[spec.name] = tool = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(tool)
    return tool


def test_fields_of_the_wrong_kind_stop_nothing(openai: OpenAI, tool: Tool) -> None:
    account = openai.account
    tune(account, 2, result_files=5, training_file=["x"], organization_id={}, model=None)
    account.lists["/fine_tuning/jobs"][-1]["status"] = []
    account.lists["/models"][0].update(shutdown_date="2026-99-99", owned_by=7, created="yesterday")
    account.lists["/evals/eval_1/runs"][0]["data_source"] = "none"
    account.file("file-odd", b"odd", bytes="three", filename=["a"], expires_at="soon")
    account.file("\ud800", b"half a pair")
    done = tool.run("save")
    assert done.code == 1 and tool.gaps() == {"files/%D800/content": "missing"}
    assert (tool.folder / "files/file-odd/content").read_bytes() == b"odd"
    assert tool.objects("jobs/ftjob-002/events.jsonl") and tool.run("inventory").code == 0


def test_a_content_without_end_is_a_gap(openai: OpenAI, tool: Tool) -> None:
    openai.account.file("file-flood", b"x" * 3_000_000, bytes=10)
    assert tool.run("save").code == 1
    assert tool.gaps() == {"files/file-flood/content": "endless"}


def test_a_corner_of_the_server_that_is_dead_does_not_end_the_run(openai: OpenAI, tool: Tool) -> None:
    for number in range(2, 14):
        evaluate(openai.account, number, items=1)
        openai.account.refused[f"/evals/eval_{number}/runs"] = (500, MISSING)
    assert tool.run("save", "--tries", "1", "--threads", "1").code == 1
    assert set(tool.gaps().values()) == {"failing"} and "files/file-train/content" in tool.saved()


def test_two_runs_do_not_share_a_folder(openai: OpenAI, tool: Tool) -> None:
    tool.folder.mkdir()
    with (tool.folder / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        done = tool.run("save")
    assert done.code == 2 and "another run is at work" in done.output
    assert os.listdir(tool.folder) == [".lock"]


@pytest.mark.parametrize("about", ["[]", "{}", '{"format": 1, "pass": "x"}', "\x00"])
def test_a_folder_whose_description_is_broken_is_refused(
    module: ModuleType, tmp_path: Path, about: str
) -> None:
    (tmp_path / "rescue.json").write_text(about)
    with pytest.raises(module.Refused, match="no rescue folder"):
        module.Folder(tmp_path).load()


def test_a_file_that_was_renamed_before_the_kill_is_known_by_its_source(
    module: ModuleType, tmp_path: Path
) -> None:
    folder, facts = module.Folder(tmp_path), {"source": "/files/x/content", "final": True}
    folder.put("files/x/content", [b"abc"])
    assert folder.done("files/x/content", facts)
    record = module.Folder(tmp_path / "none").records | folder.records["files/x/content"]
    assert (record["source"], record["final"], record["bytes"]) == ("/files/x/content", True, 3)


def test_a_date_to_wait_for_is_by_the_servers_clock(module: ModuleType) -> None:
    headers = {
        "date": "Mon, 01 Jan 2001 10:00:00 GMT",
        "retry-after": "Mon, 01 Jan 2001 10:00:30 GMT",
    }
    assert module.asked_to_wait(headers) == 30
    assert module.asked_to_wait({"retry-after": "soon"}) == 0


def test_an_address_without_a_scheme_is_refused_at_once(openai: OpenAI, tool: Tool) -> None:
    done = tool.run("inventory", "--base-url", openai.url.removeprefix("http://"))
    assert (done.code, done.output) == (2, "afina-rescue: that is no http(s) address\n")


def test_an_address_with_secrets_is_written_without_them(openai: OpenAI, tool: Tool) -> None:
    secretive = openai.url.replace("://", "://nurse:s3cret@") + "?token=s3cret"
    tool.run("save", "--base-url", secretive, "--tries", "1")
    assert not tool.folder.exists() or all(
        b"s3cret" not in path.read_bytes() for path in tool.folder.rglob("*") if path.is_file()
    )


def test_azure_is_asked_by_its_own_key_and_paths(openai: OpenAI, tool: Tool, tmp_path: Path) -> None:
    place = openai.url.removesuffix("/v1")
    tool.environment["AZURE_OPENAI_API_KEY"] = tool.environment.pop("OPENAI_API_KEY")
    openai.chat = lambda request: (200, {"choices": [{}], "usage": {"prompt_tokens": 1}})
    prompts = tmp_path / "prompts.jsonl"
    prompts.write_text('{"id": "a", "messages": [{"role": "user", "content": "?"}]}\n')
    asked = ("--prompts", str(prompts), "--model", "my-deployment", "--max-requests", "1")
    azure = Tool(openai, tool.folder)
    azure.environment = tool.environment
    azure.whom = ("--azure-endpoint", place)
    assert azure.run("save").code == 0
    assert azure.run("goldens", *asked).code == 0
    paths = {path for method, path, _after in openai.asked if method == "POST"}
    assert paths == {"/deployments/my-deployment/chat/completions"}
    assert all(KEY.encode() not in path.read_bytes() for path in tool.folder.rglob("*") if path.is_file())


SHAPES = [
    "[]",
    "7",
    '{"id": 7, "messages": [{"role": "user"}]}',
    '{"id": "a"}',
    '{"id": "a", "messages": []}',
    '{"id": "a", "messages": {"role": "user"}}',
    '{"id": "a", "messages": "secret"}',
    '{"id": "a", "messages": [{"content": "secret"}]}',
    '{"id": "a", "messages": [{"role": "user", "content": "\\ud800"}]}',
    '{"id": "a", "messages": [{"role": "user"}]}\n{"id": "a", "messages": [{"role": "user"}]}',
    "[" * 100_000,
    "\xff",
]


@pytest.mark.parametrize("lines", SHAPES, ids=range(len(SHAPES)))
def test_prompts_of_every_bad_shape_are_refused(module: ModuleType, tmp_path: Path, lines: str) -> None:
    path = tmp_path / "prompts.jsonl"
    path.write_bytes(lines.encode("latin-1"))
    with pytest.raises(
        module.Refused, match=rf"prompts.jsonl:{1 + lines.count(chr(10))}: must be"
    ) as refusal:
        module.read_prompts(path, "")
    assert "secret" not in str(refusal.value)


def test_blank_lines_are_no_prompts(module: ModuleType, tmp_path: Path) -> None:
    path = tmp_path / "prompts.jsonl"
    path.write_text('\ufeff{"id": "a", "messages": [{"role": "user", "content": "?"}]}\r\n\r\n')
    assert list(module.read_prompts(path, "")) == ["a"]
    path.write_text("\n")
    with pytest.raises(module.Refused, match="holds no prompts"):
        module.read_prompts(path, "")


def test_what_an_image_may_cost_is_set_aside(module: ModuleType) -> None:
    def most(content: object) -> float:
        body: Object = {"messages": [{"role": "user", "content": content}], "max_completion_tokens": 1}
        return module.Question("gpt-4o", "p", 0, body).most

    image = {"type": "image_url", "image_url": {"url": "https://example.com/x.png"}}
    assert most([{"type": "text", "text": "?"}]) < 0.01
    assert most([image]) > 50_000 * 3.75 / 1e6


def test_a_tune_is_known_by_its_base(module: ModuleType) -> None:
    assert module.fate_of("ft:gpt-4.1-mini-2025-04-14:clinic::1") == ("2027-01-14", 0.8, 3.2)
    assert module.fate_of("gpt-4onion") is module.UNKNOWN
    assert json.dumps(module.overview({n: [] for n in module.LISTS}, module.date(2026, 11, 23), set()))
