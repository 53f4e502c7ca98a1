import json

import pytest

CHAT = {
    "id": "chatcmpl-1",
    "object": "chat.completion",
    "created": 1_800_000_000,
    "model": "afina-tiny",
    "choices": [
        {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "Hello\nyou. " * 9}}
    ],
}


@pytest.fixture
def stored(played):
    """The played server has two stored chats, the later one a call of a tool."""
    call = {"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    message = {"role": "assistant", "content": None, "tool_calls": [call]}
    later = {**CHAT, "id": "chatcmpl-2", "choices": [{**CHAT["choices"][0], "message": message}]}
    played.chats = [later, CHAT]
    return played


def test_stored_chats_are_listed_newest_first(afina, stored):
    ran = afina("chats", "list", "--model", "afina-tiny", "--metadata", "set=a", "--limit", "2")
    lines = [line.rstrip() for line in ran.out.splitlines()]
    assert [line.split()[0] for line in lines] == ["ID", "chatcmpl-2", "chatcmpl-1"]
    assert lines[1].endswith("(calls a tool)") and "Hello you. Hello" in lines[2] and lines[2].endswith("...")
    asked = stored.queries[0]
    assert (asked["model"], asked["metadata[set]"], asked["order"]) == ("afina-tiny", "a", "desc")


def test_json_is_the_whole_chat(afina, stored):
    ran = afina("chats", "list", "--json", "--limit", "1")
    assert json.loads(ran.out)["id"] == "chatcmpl-2"


def test_an_export_prints_its_files_id_and_tells_what_was_left_out(afina, stored):
    ran = afina("chats", "export", "--metadata", "set=a", "--name", "mine.jsonl")
    assert (ran.code, ran.out) == (0, "file-9\n")
    assert ran.err == "12 examples, 2.0 KB\nleft out: 1 cut short, 0 unfit for training\n"
    assert stored.bodies == [{"metadata": {"set": "a"}, "filename": "mine.jsonl"}]
    assert json.loads(afina("chats", "export", "--json").out)["examples"] == 12
    assert stored.bodies[1] == {}


def test_an_export_of_nothing_is_an_error(afina, stored):
    ran = afina("chats", "export", "--model", "nobody")
    assert (ran.code, ran.out) == (1, "") and "code: no_examples" in ran.err


def test_a_chat_is_forgotten(afina, stored):
    assert afina("chats", "delete", "chatcmpl-1").out == "deleted chatcmpl-1\n"
    assert [chat["id"] for chat in stored.chats] == ["chatcmpl-2"]
