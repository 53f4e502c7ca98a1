"""What a folder refuses, survives and tells."""

import base64
import os
import re
import resource
import stat
from pathlib import Path

import pytest

from rescue.openai_stand_in import KEY, LONG_AGO, MISSING, PROGRAM, OpenAI, Tool, empty, serving, small, tune


def files_in(folder: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_everything_is_saved_and_the_key_is_nowhere(openai: OpenAI, tool: Tool) -> None:
    tool.environment["OPENAI_LOG"] = "debug"
    assert tool.run("save").code == 0
    content = (tool.folder / "files/file-result/content").read_bytes()
    assert content == openai.account.contents["file-result"]
    assert tool.objects("chats/chatcmpl-1.jsonl")[0]["content"] == "¿Qué tal?"
    assert tool.objects("jobs.jsonl") == openai.account.lists["/fine_tuning/jobs"]
    assert {method for method, _path, _after in openai.asked} == {"GET"}
    assert all(KEY.encode() not in content for content in files_in(tool.folder).values())
    assert tool.gaps() == {}


def test_inventory_writes_nothing_and_names_what_ends(openai: OpenAI, tool: Tool) -> None:
    tune(openai.account, 2, training_file="file-deleted")
    done = tool.run("inventory")
    assert done.code == 0
    assert "retrain from its training file" in done.output
    assert (
        "ft:gpt-4o-mini-2024-07-18:clinic::00000001  clinic  ftjob-001  2025-06-15  2027-01-14" in done.output
    )
    assert "NO REPLACEMENT" in done.output and "2026-11-30" in done.output
    assert not tool.folder.exists()


def test_a_server_that_says_when_a_model_ends_is_believed(openai: OpenAI, tool: Tool) -> None:
    openai.account.lists["/models"][0]["shutdown_date"] = "2031-02-03"
    assert "2031-02-03" in tool.run("inventory").output


def test_a_wrong_key_is_one_line_and_changes_nothing(tool: Tool) -> None:
    assert tool.run("save").code == 0
    before = files_in(tool.folder)
    tool.environment["OPENAI_API_KEY"] = "sk-another-secret"
    done = tool.run("save")
    assert done.code == 2 and "refused the key" in done.output and "sk-" not in done.output
    assert files_in(tool.folder) == before


@pytest.mark.parametrize("key", ["", "sk-ñ", "sk-one\nx-two: 3"])
def test_a_key_that_no_header_can_hold_is_not_quoted(tool: Tool, key: str) -> None:
    tool.environment["OPENAI_API_KEY"] = key
    done = tool.run("save")
    assert (done.code, done.output) == (2, "afina-rescue: OPENAI_API_KEY holds no key\n")


def test_what_may_not_be_read_is_a_gap_and_the_rest_goes_on(openai: OpenAI, tool: Tool) -> None:
    no = {**MISSING, "message": f"You have insufficient permissions, {KEY}"}
    openai.account.refused = {
        "/evals": (403, no),
        "/files/file-train/content": (401, no),
        "/chat/completions": (404, {}),
    }
    done = tool.run("save")
    assert done.code == 1
    assert tool.gaps() == {
        "evals.jsonl": "forbidden",
        "files/file-train/content": "key",
        "chats.jsonl": "not_offered",
    }
    assert "files/file-result/content" in tool.saved()
    assert all(KEY.encode() not in content for content in files_in(tool.folder).values())
    assert (
        "the key may not read it" in done.output
        and "NO REPLACEMENT" in (tool.folder / "report.html").read_text()
    )
    openai.account.refused = {}
    assert tool.run("save").code == 0


def test_what_is_not_wanted_is_not_asked_for(openai: OpenAI, tool: Tool) -> None:
    assert tool.run("save", "--without", "evals", "--without", "chats", "--without", "files").code == 0
    asked = {path for _method, path, _after in openai.asked}
    assert asked & {"/evals", "/chat/completions", "/files/file-result/content"} == set()


@pytest.mark.parametrize("limit", [150, 5_000])
def test_a_full_disk_is_a_clear_line_and_what_was_saved_is_whole(
    openai: OpenAI, tool: Tool, limit: int
) -> None:
    openai.account.file("file-large", os.urandom(100_000))
    done = tool.run("save", preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit)))
    assert done.code == 2 and "File too large; what was saved is whole" in done.output
    assert tool.run("save").code == 0
    assert not list(tool.folder.glob(".rescue-tmp/*"))
    assert (tool.folder / "files/file-large/content").stat().st_size == 100_000


def test_a_content_of_another_size_is_kept_aside_and_named(openai: OpenAI, tool: Tool) -> None:
    openai.account.lists["/files"][0]["bytes"] += 1
    assert tool.run("save", "--tries", "2").code == 1
    assert tool.gaps() == {"files/file-train/content": "differs"}
    content = openai.account.contents["file-train"]
    assert (tool.folder / "files/file-train/content.partial").read_bytes() == content
    openai.account.lists["/files"][0]["bytes"] -= 1
    assert tool.run("save").code == 0
    assert [path.name for path in (tool.folder / "files/file-train").iterdir()] == ["content"]


def test_results_come_in_base64_and_may_be_announced_without_it(openai: OpenAI, tool: Tool) -> None:
    about = next(file for file in openai.account.lists["/files"] if file["id"] == "file-result")
    served = openai.account.contents["file-result"]
    about["bytes"] = len(base64.b64decode(served))
    done = tool.run("save")
    assert (done.code, tool.gaps()) == (0, {}), done.output
    assert (tool.folder / "files" / "file-result" / "content").read_bytes() == served


def test_what_was_changed_on_the_disk_is_fetched_again(openai: OpenAI, tool: Tool) -> None:
    assert tool.run("save").code == 0
    content = tool.folder / "files/file-train/content"
    content.write_bytes(content.read_bytes().replace(b"messages", b"massages"))
    assert tool.run("save").code == 0
    assert content.read_bytes() == openai.account.contents["file-train"]


def test_a_folder_of_another_account_is_refused(tool: Tool, tmp_path: Path) -> None:
    assert tool.run("save").code == 0
    before = files_in(tool.folder)
    other = empty()
    other.file("file-theirs", b"{}\n")
    tool.server.account = other
    done = tool.run("save")
    assert done.code == 2 and "another account" in done.output
    assert files_in(tool.folder) == before
    with serving(small()) as elsewhere:
        assert Tool(elsewhere, tool.folder).run("save").code == 2


def test_a_folder_of_something_else_is_refused(tool: Tool) -> None:
    tool.folder.mkdir()
    (tool.folder / "thesis.txt").write_text("mine")
    before = files_in(tool.folder)
    done = tool.run("save")
    assert done.code == 2 and "no rescue folder" in done.output
    assert files_in(tool.folder) == before


def test_a_report_of_nothing_keeps_no_folder_from_being_used(tool: Tool) -> None:
    tool.folder.mkdir()
    done = tool.run("report")
    assert done.code == 2 and "nothing is saved here" in done.output
    assert tool.run("save").code == 0


def test_nobody_answers(openai: OpenAI, tool: Tool) -> None:
    openai.server_close()
    done = tool.run("save", "--tries", "2")
    assert done.code == 2 and "the connection broke" in done.output


def test_names_of_the_server_lead_nowhere_else(openai: OpenAI, tool: Tool) -> None:
    for ident in ("../../outside", "..", "CON/ñ:" + "x" * 300):
        openai.account.file(ident, ident.encode(), filename="<script>alert(1)</script>", expires_at=LONG_AGO)
    del openai.account.contents[".."]
    assert tool.run("save").code == 1
    inside = [path for path in tool.folder.parent.rglob("*") if path.is_file()]
    assert all(path.is_relative_to(tool.folder) for path in inside)
    assert (tool.folder / "files/%2E.%2F..%2Foutside/content").read_bytes() == b"../../outside"
    page = (tool.folder / "report.html").read_text()
    assert "<script" not in page and "&lt;script&gt;" in page


def test_the_report_stands_alone_and_speaks_spanish(tool: Tool) -> None:
    assert tool.run("save").code == 0
    tool.environment["AFINA_LANG"] = "es"
    begun = len(tool.server.asked)
    done = tool.run("report")
    assert done.code == 0 and "faltan 0" in done.output and len(tool.server.asked) == begun
    page = (tool.folder / "report.html").read_text()
    assert 'lang="es"' in page and "Qué hacer ahora" in page and "quedan" in page
    assert not re.search(r"(src|href)=|https?://(?!127\.0\.0\.1)|@import|url\(", page)


@pytest.mark.parametrize(("language", "word"), [("es_ES", "intentos por"), ("en", "attempts for")])
def test_help_in_two_languages(tool: Tool, language: str, word: str) -> None:
    tool.environment["AFINA_LANG"] = language
    done = tool.run("save", "-h")
    assert done.code == 0 and word in done.output


def test_an_interrupted_run_says_so(openai: OpenAI, tool: Tool) -> None:
    openai.account.refused = {"/evals": (429, MISSING)}
    process = tool.start("save", "--wait", "30")
    while ("GET", "/evals", "") not in openai.asked:
        assert process.poll() is None
    process.terminate()
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 130 and "start again to go on" in output
    openai.account.refused = {}
    assert tool.run("save").code == 0


def test_the_tool_is_one_small_file() -> None:
    assert PROGRAM.read_text().count("\n") < 1000
    assert stat.S_ISREG(PROGRAM.stat().st_mode)
