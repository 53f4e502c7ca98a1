"""Responses and conversations: kept, gone on from, changed once, and only their own project's."""

import pytest

from afina.errors import InvalidRequest, NotFound
from afina.schemas.conversations import Conversation
from afina.store import conversations, responses
from afina.store.database import Database


def test_what_is_kept_comes_back(database: Database, stored, project: str, other: str):
    kept = stored("a")
    with database.scope(project) as scope:
        responses.insert(scope, kept)
    with database.read(project) as scope:
        assert responses.get(scope, "a") == kept
    with database.read(other) as scope:
        assert responses.find(scope, "a") is None
        with pytest.raises(NotFound):
            responses.get(scope, "a")


def test_history_is_what_was_said_oldest_first(database: Database, stored, project: str, other: str):
    with database.scope(project) as scope:
        responses.insert(scope, stored("a"))
        responses.insert(scope, stored("b", after="a"))
        said = [item.id for item in responses.history(scope, "b")]
        assert said == ["in_a", "msg_a", "in_b", "msg_b"] and responses.history(scope, None) == []
    with database.scope(other) as scope, pytest.raises(InvalidRequest, match="not found"):
        responses.history(scope, "b")
    with database.scope(project) as scope:
        responses.delete(scope, "a")
        with pytest.raises(InvalidRequest, match="'a' not found"):
            responses.history(scope, "b")
        with pytest.raises(NotFound):
            responses.delete(scope, "a")


def test_an_unfinished_response_cannot_be_gone_on_from(database: Database, stored, project: str):
    with database.scope(project) as scope:
        responses.insert(scope, stored("a", status="queued"))
        with pytest.raises(InvalidRequest, match="not finished"):
            responses.history(scope, "a")


def test_a_status_is_changed_by_who_comes_first(database: Database, stored, project: str, other: str):
    with database.scope(project) as scope:
        responses.insert(scope, stored("a", status="in_progress"))
    with database.scope(other) as scope:
        assert not responses.finish(scope, stored("a"), while_in="in_progress")
    with database.scope(project) as scope:
        assert responses.cancel(scope, "a").response.status == "cancelled"
        assert not responses.finish(scope, stored("a"), while_in="in_progress")
        assert responses.get(scope, "a").response.status == "cancelled"


def test_a_conversation_and_its_last_response(database: Database, stored, project: str, other: str):
    opening = stored("x").input
    made = Conversation(id="conv", created_at=1, metadata={"a": "b"}, items=opening)
    with database.scope(project) as scope:
        conversations.insert(scope, made)
        assert conversations.get(scope, "conv") == made
        assert conversations.history(scope, made) == opening
        responses.insert(scope, stored("a"))
        changed = made.model_copy(update={"last_response_id": "a", "metadata": {}, "items": []})
        conversations.change(scope, changed)
        assert conversations.get(scope, "conv") == changed
        assert [item.id for item in conversations.history(scope, changed)] == ["in_a", "msg_a"]
        with pytest.raises(InvalidRequest, match="has this id already"):
            conversations.add(scope, changed, stored("a").input, brought=["in_a"])
        added = conversations.add(scope, changed, stored("b").input, brought=["in_b"])
        left = conversations.remove(scope, conversations.remove(scope, added, "msg_a"), "in_b")
        assert [item.id for item in conversations.history(scope, left)] == ["in_a"]
        assert conversations.removed(scope, "conv") == ["msg_a"]
        with pytest.raises(NotFound):
            conversations.find(scope, left, "msg_a")
        assert conversations.change(scope, changed.model_copy(update={"removed": None})) == changed
    with database.scope(other) as scope:
        with pytest.raises(NotFound):
            conversations.change(scope, made)
        with pytest.raises(NotFound):
            conversations.delete(scope, "conv")
    with database.scope(project) as scope:
        assert conversations.delete(scope, "conv") == changed
        with pytest.raises(NotFound):
            conversations.get(scope, "conv")
