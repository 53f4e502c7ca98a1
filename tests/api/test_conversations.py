"""Conversations: every turn is kept, also of those who speak at the same time."""

from collections.abc import Callable

import openai
import pytest
from fastapi.testclient import TestClient

import afina.base
from afina.data.render import Renderer
from afina.errors import InvalidRequest
from afina.schemas.response_replies import StoredResponse
from afina.schemas.responses import CreateResponse
from afina.serving import response_turns
from afina.serving.response_turns import Turn, begin
from afina.store import conversations, responses
from afina.store.database import Database


@pytest.fixture
def talk(official: openai.OpenAI) -> str:
    return official.conversations.create(items=[{"role": "user", "content": "Opening."}]).id


@pytest.fixture
def begun(client: TestClient, project: str, talk: str) -> Callable[..., Turn]:
    """A turn of the conversation, as far as it is before the model answers."""

    def make(text: str, **fields: object) -> Turn:
        asked = CreateResponse.model_validate({"input": text, "conversation": talk, **fields})
        return begin(client.app.state.rooms.router, project, asked)

    return make


def said(official: openai.OpenAI, talk: str) -> list[str]:
    return [item.content[0].text for item in official.conversations.items.list(talk, order="asc")]


def test_two_streams_at_once_are_two_turns(played, official: openai.OpenAI, talk: str):
    played.text, played.endless = "Yes.", True
    asked = ("One?", "Two?")
    streams = [official.responses.create(input=text, conversation=talk, stream=True) for text in asked]
    first = [next(stream) for stream in streams]
    played.endless = False
    ends = [list(stream)[-1].response for stream in streams]
    assert [event.response.id for event in first] == [end.id for end in ends]
    turns = said(official, talk)
    assert turns[0] == "Opening." and sorted(turns[1::2]) == ["One?", "Two?"]
    assert len(turns) == 5 and all(answer.startswith("Yes.") for answer in turns[2::2])
    official.responses.create(input="Three?", conversation=talk)
    assert said(official, talk)[:5] == turns and said(official, talk)[5] == "Three?"


def test_turns_are_in_the_order_in_which_they_are_kept(
    official: openai.OpenAI, database: Database, project: str, begun, talk: str
):
    turns = [begun(text) for text in ("a", "b", "c")]
    for turn in reversed(turns):
        keep(database, project, turn)
    assert said(official, talk) == ["Opening.", "c", "b", "a"]
    for turn in (begun("d"), begun("e")):
        keep(database, project, turn)
    assert said(official, talk) == ["Opening.", "c", "b", "a", "d", "e"]


def keep(database: Database, project: str, turn: Turn, status: str = "completed") -> None:
    response = turn.begun.response.model_copy(update={"status": status})
    with database.scope(project) as scope:
        response_turns.keep(scope, turn, turn.begun.model_copy(update={"response": response}))


def test_nothing_in_the_background_goes_on_from_what_is_unfinished(
    official: openai.OpenAI, database: Database, project: str, begun, talk: str
):
    one, other = begun("a", background=True), begun("b", background=True)
    keep(database, project, one, status="queued")
    with pytest.raises(InvalidRequest, match="not finished"):
        keep(database, project, other, status="queued")
    with database.scope(project) as scope:
        assert responses.find(scope, other.begun.response.id) is None
        done: StoredResponse = responses.get(scope, one.begun.response.id)
        ended = done.response.model_copy(update={"status": "completed"})
        responses.finish(scope, done.model_copy(update={"response": ended}), while_in="queued")
    keep(database, project, other, status="completed")
    assert said(official, talk) == ["Opening.", "a", "b"]


def test_a_previous_response_beside_an_empty_conversation_leaves_its_opening(
    played, official: openai.OpenAI, database: Database, project: str, talk: str
):
    before = official.responses.create(input="Before.")
    official.responses.create(input="Now?", conversation=talk, previous_response_id=before.id)
    assert "Opening." in said(official, talk) and "Now?" in said(official, talk)
    with database.read(project) as scope:
        assert conversations.get(scope, talk).last_response_id is not None


def test_items_are_added_read_and_taken_out_between_turns(played, official: openai.OpenAI, talk: str):
    played.text = "Yes."
    items, note = official.conversations.items, {"role": "user", "content": "A note."}
    early = items.create(talk, items=[{"role": "developer", "content": "Be brief."}, note]).data
    assert said(official, talk) == ["Opening.", "Be brief.", "A note."]
    answer = official.responses.create(input="One?", conversation=talk)
    late = items.create(talk, items=[note], extra_headers={"idempotency-key": "late"})
    again = items.create(talk, items=[note], extra_headers={"idempotency-key": "late"})
    assert again == late and not late.has_more and late.first_id == late.last_id == late.data[0].id
    assert said(official, talk) == ["Opening.", "Be brief.", "A note.", "One?", "Yes.", "A note."]
    assert items.retrieve(early[0].id, conversation_id=talk) == early[0]
    for gone in (early[1], answer.output[0], late.data[0]):
        assert items.delete(gone.id, conversation_id=talk).id == talk
        with pytest.raises(openai.NotFoundError):
            items.retrieve(gone.id, conversation_id=talk)
    assert said(official, talk) == ["Opening.", "Be brief.", "One?"]
    official.responses.create(input="Two?", conversation=talk)
    assert said(official, talk) == ["Opening.", "Be brief.", "One?", "Two?", "Yes."]
    told = Renderer(afina.base.path()).decode(played.asked[-1].prompt)
    assert "Be brief." in told and "One?" in told and "A note." not in told and "Yes." not in told
    assert official.responses.retrieve(answer.id).output_text == "Yes."


def test_what_is_added_while_a_response_is_made_follows_it(
    official: openai.OpenAI, database: Database, project: str, begun, talk: str
):
    turn = begun("a")
    added = official.conversations.items.create(talk, items=[{"role": "user", "content": "Meanwhile."}])
    keep(database, project, turn)
    assert said(official, talk) == ["Opening.", "a", "Meanwhile."]
    with pytest.raises(openai.BadRequestError, match="has this id already"):
        official.conversations.items.create(talk, items=[{**note_of(added), "content": "Again."}])
    keep(database, project, begun("b"))
    assert said(official, talk) == ["Opening.", "a", "Meanwhile.", "b"]


def note_of(added) -> dict[str, str]:
    return {"id": added.data[0].id, "role": "user"}


def test_what_was_taken_out_is_not_added_under_its_old_id(played, official: openai.OpenAI, talk: str):
    items, note = official.conversations.items, {"role": "user", "content": "One?"}
    official.responses.create(input="One?", conversation=talk)
    gone = items.list(talk, order="asc").data[1]
    items.delete(gone.id, conversation_id=talk)
    for act in (
        lambda: items.create(talk, items=[{**note, "id": gone.id}]),
        lambda: official.responses.create(input=[{**note, "id": gone.id}], conversation=talk),
    ):
        with pytest.raises(openai.BadRequestError, match="was taken out of this conversation"):
            act()
    items.create(talk, items=[note])
    official.responses.create(input="Two?", conversation=talk)
    assert [text for text in said(official, talk) if text.endswith("?")] == ["One?", "Two?"]


def test_items_are_added_behind_what_is_unfinished_or_gone(
    official: openai.OpenAI, database: Database, project: str, begun, talk: str
):
    one, note = begun("a", background=True), {"role": "user", "content": "A note."}
    keep(database, project, one, status="queued")
    added = official.conversations.items.create(talk, items=[note])
    with pytest.raises(openai.BadRequestError, match="not finished"):
        official.conversations.items.create(talk, items=[{**note, "id": "msg_mine"}])
    official.responses.delete(one.begun.response.id)
    added.data += official.conversations.items.create(talk, items=[note]).data
    with database.read(project) as scope:
        kept = conversations.get(scope, talk).items
    assert [item.id for item in kept] == [item.id for item in added.data]


def test_what_was_added_is_told_again_after_it_was_taken_out(official: openai.OpenAI, talk: str):
    items, note = official.conversations.items, {"role": "user", "content": "A note."}
    asked = {"items": [note, {**note, "id": "msg_mine"}], "extra_headers": {"idempotency-key": "k"}}
    first = items.create(talk, **asked)
    items.delete(first.data[0].id, conversation_id=talk)
    assert items.create(talk, **asked) == first
    assert said(official, talk) == ["Opening.", "A note."]
