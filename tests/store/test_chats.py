"""Stored chats in both databases: what was kept comes back, and metadata finds it, whatever it holds."""

import pytest

from afina.errors import NotFound
from afina.store import chats
from afina.store.database import Database

ODD = ['quote " and \\', "$.a", "ñ😀", "%_", "' OR 1=1"]


def test_a_chat_comes_back_whole(database: Database, project: str, new_chat):
    with database.scope(project) as scope:
        kept = chats.insert(scope, new_chat("chatcmpl-1", temperature=0, metadata={"a": "b"}))
    with database.read(project) as scope:
        assert chats.get(scope, "chatcmpl-1") == kept
        assert kept.completion.choices[0].message.content == "Hello \0" and kept.project_id == project


@pytest.mark.parametrize("odd", ODD)
def test_any_metadata_finds_its_chat(database: Database, project: str, new_chat, odd: str):
    with database.scope(project) as scope:
        chats.insert(scope, new_chat("chatcmpl-1", metadata={odd: odd}))
        chats.insert(scope, new_chat("chatcmpl-2", metadata={"a": "b"}))
        chats.insert(scope, new_chat("chatcmpl-3"))
    with database.read(project) as scope:
        assert [found.id for found in chats.page(scope, metadata={"a": "b"}).data] == ["chatcmpl-2"]
        assert [found.id for found in chats.page(scope, metadata={odd: odd}).data] == ["chatcmpl-1"]
        assert chats.page(scope, metadata={"\0": "\0"}).data == []
        assert [found.id for found in chats.page(scope, without_metadata=True).data] == ["chatcmpl-3"]


def test_metadata_is_replaced_and_taken_away(database: Database, project: str, new_chat):
    with database.scope(project) as scope:
        chats.insert(scope, new_chat("chatcmpl-1", metadata={"a": "b"}))
        assert chats.label(scope, "chatcmpl-1", {"c": "d"}).metadata == {"c": "d"}
        assert chats.label(scope, "chatcmpl-1", {}).metadata is None
        chats.delete(scope, "chatcmpl-1")
        for call in (chats.get, chats.delete):
            with pytest.raises(NotFound):
                call(scope, "chatcmpl-1")
