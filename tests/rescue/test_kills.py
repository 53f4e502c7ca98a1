"""The whole load, over a bad line, killed five times: complete in the end, and nothing whole is asked for twice."""

import base64
import hashlib
import json
import random
from pathlib import Path

from rescue.openai_stand_in import IN_2025, LONG_AGO, Account, Tool, empty, evaluate, serving, tune

KILLS, THREADS = 5, 4


def large() -> Account:
    """300 files, 40 jobs of which 14 became models, 5 evals of 1,000 items, 30 chats; four things cannot be had."""
    account, random_bytes = empty(), random.Random(7).randbytes
    for number in range(280):
        account.file(f"file-{number:03}", random_bytes(number * 97 % 20_000))
    account.file("file-big", random_bytes(3_000_000))
    for number in range(17):
        account.file(f"file-r{number:02}", base64.b64encode(b"step,train_loss\n1,0.5\n"), "fine-tune-results")
    account.file("file-expired", b"gone", expires_at=LONG_AGO)
    account.file("file-missing", b"gone")
    for name in ("file-expired", "file-missing"):
        del account.contents[name]
    for number in range(40):
        files = {
            "training_file": f"file-{number:03}",
            "validation_file": None,
            "result_files": [f"file-r{number:02}"],
        }
        gone = {"training_file": "file-deleted", "result_files": []} if number >= 17 else {}
        status = "succeeded" if number < 14 else "failed"
        tune(account, number, status=status, events=250 if number < 3 else 3, **{**files, **gone})
    account.endless.add("/fine_tuning/jobs/ftjob-020/events")
    for number in range(5):
        evaluate(account, number, items=1000)
    for number in range(30):
        account.lists["/chat/completions"].append(
            {"id": f"chatcmpl-{number}", "model": "gpt-4o", "created": IN_2025}
        )
        account.lists[f"/chat/completions/chatcmpl-{number}/messages"] = [
            {"id": f"msg-{number}", "role": "user"}
        ]
    return account


def already_there(tool: Tool) -> set[tuple[str, str]]:
    """Paths, and where in their lists, that nobody needs to ask for again."""
    saved = {(record["source"], "") for record in tool.saved().values()}
    saved.discard(("/models", ""))  # asked at each start, whether the key is good
    for page in (tool.folder / "pages").rglob("*.jsonl"):
        name = str(page.parent.relative_to(tool.folder / "pages"))
        parts = name.removesuffix(".jsonl").split("/")
        if parts[0] == "evals" and len(parts) == 4:
            saved.add((f"/evals/{parts[1]}/runs/{parts[3]}/output_items", after_of(page)))
    return saved


def after_of(page: Path) -> str:
    """The `after` by which a stored page was asked for: the last of the one before."""
    number = int(page.stem)
    if number == 0:
        return ""
    return json.loads((page.parent / f"{number - 1:06}.jsonl").read_text().splitlines()[-1])["id"]


def test_killed_five_times_over_a_bad_line_it_ends_complete(tmp_path: Path) -> None:
    chance = random.Random(11)
    with serving(large()) as server:
        tool, server.faulty = Tool(server, tmp_path / "rescued"), True
        for kill_after in [chance.randint(40, 110) for _kill in range(KILLS)] + [0]:
            whole, begun = already_there(tool), len(server.asked)
            done = tool.run("save", kill_after=kill_after)
            assert done.code == (-9 if kill_after else 1), done.output
            asked = {(path, after) for _method, path, after in server.asked[begun + 1 :]}
            assert asked & whole == set()
            check_whole(tool)
        check_lists(tool, server.account)
        check_contents(tool, server.account)
        check_whole(tool)
        assert {method for method, _path, _after in server.asked} == {"GET"}
        witnesses = {f"/fine_tuning/jobs/ftjob-{number:03}" for number in range(3)}
        repeats = {
            key: n - 1
            for key, n in server.served.items()
            if n > 1 and key[0] not in witnesses and key[2] != "1"
        }
        assert sum(repeats.values()) <= KILLS * THREADS, repeats
        assert tool.gaps() == {
            "files/file-deleted/file.json": "missing",
            "files/file-expired/content": "expired",
            "files/file-missing/content": "missing",
            "jobs/ftjob-020/events.jsonl": "endless",
        }
        gaps = {gap["id"]: gap for gap in tool.objects("gaps.jsonl")}
        assert gaps["file-expired"]["date"] == "2020-09-13"
        assert gaps["file-deleted"]["used_by"] == [f"ftjob-{number:03}" for number in range(17, 40)]
        rest_once_more(tool)


def check_whole(tool: Tool) -> None:
    """Whatever the journal calls whole has the size and the hash that it says."""
    for name, record in tool.saved().items():
        content = (tool.folder / name).read_bytes()
        assert (len(content), hashlib.sha256(content).hexdigest()) == (record["bytes"], record["sha256"]), (
            name
        )


def check_lists(tool: Tool, account: Account) -> None:
    """Every list has every object, in order and as it was served."""
    names = {"/models": "models", "/files": "files", "/evals": "evals", "/fine_tuning/jobs": "jobs"}
    names["/chat/completions"] = "chats"
    for path, items in account.lists.items():
        name = names.get(path) or path.strip("/").replace("fine_tuning/", "").replace("/output_items", "")
        name = name.replace("chat/completions/", "chats/").removesuffix("/messages")
        if path not in account.endless:
            assert tool.objects(f"{name}.jsonl") == items, path


def check_contents(tool: Tool, account: Account) -> None:
    """Every file byte for byte."""
    for ident, content in account.contents.items():
        assert (tool.folder / "files" / ident / "content").read_bytes() == content


def rest_once_more(tool: Tool) -> None:
    """A run after the end reads the lists that may have grown, asks after the gaps, and for nothing that it has."""
    begun = len(tool.server.asked)
    assert tool.run("save").code == 1
    asked = {path for _method, path, _after in tool.server.asked[begun:]}
    lists = {"/models", "/files", "/fine_tuning/jobs", "/evals", "/chat/completions"}
    runs = {f"/evals/eval_{number}/runs" for number in range(5)}
    gaps = {"/files/file-deleted", "/files/file-expired/content", "/files/file-missing/content"}
    assert asked == {
        *lists,
        *runs,
        *gaps,
        "/fine_tuning/jobs/ftjob-020/events",
        "/fine_tuning/jobs/ftjob-000",
    }
