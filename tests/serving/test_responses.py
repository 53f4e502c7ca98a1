"""The events of a response: the same when it is replayed, however it was said and however it ended."""

import pytest

from afina.errors import AfinaError, InvalidRequest
from afina.schemas.chat import TextFormat
from afina.schemas.chat_replies import CalledFunction, TokenLogprob, ToolCall
from afina.schemas.response_items import FunctionCallItem, FunctionOutputItem, MessageItem
from afina.schemas.response_replies import Response, ResponseEvent, ResponseUsage, StoredResponse
from afina.schemas.responses import TextConfig
from afina.serving.response_events import ResponseWriter, replay
from afina.serving.response_messages import messages
from afina.serving.responses import behind

BEGUN = Response(
    id="resp_1",
    created_at=1,
    status="in_progress",
    model="m",
    text=TextConfig(format=TextFormat(type="text")),
)
CALL = ToolCall(id="call_1", function=CalledFunction(name="f", arguments='{"a": 1}'))
ENTRY = TokenLogprob(token="a", bytes=[97], logprob=-0.5, top_logprobs=[])


def written(pieces: list[str | ToolCall], *, end: str) -> tuple[list[ResponseEvent], StoredResponse]:
    writer = ResponseWriter(BEGUN)
    events = list(writer.begin())
    for piece in pieces:
        events += writer.write_call(piece) if isinstance(piece, ToolCall) else writer.write(piece, [ENTRY])
    if end == "failed":
        events += writer.fail(AfinaError("away"))
    else:
        events += writer.end("length" if end == "incomplete" else "stop", ResponseUsage(), now=5)
    return events, StoredResponse(response=writer.response, input=[], cuts=writer.cuts)


@pytest.mark.parametrize("end", ["completed", "incomplete", "failed"])
@pytest.mark.parametrize("pieces", [["a", "bc"], ["a", CALL, CALL, "d"], [CALL], []])
def test_a_replay_has_the_events_of_the_stream(pieces: list[str | ToolCall], end: str):
    events, stored = written(pieces, end=end)
    kept = StoredResponse.model_validate_json(stored.model_dump_json())
    assert [event.model_dump_json() for event in replay(kept)] == [
        event.model_dump_json() for event in events
    ]
    assert [event.sequence_number for event in events] == list(range(len(events)))
    assert events[-1].type == f"response.{end}" and events[-1].response == stored.response
    done = [event.item for event in events if event.type == "response.output_item.done"]
    assert done == stored.response.output and len({item.id for item in done if item}) == len(done)


def test_the_last_item_of_a_reply_that_is_cut_is_incomplete():
    _, stored = written([CALL, "text"], end="incomplete")
    assert [item.status for item in stored.response.output] == ["completed", "incomplete"]


def test_calls_join_the_words_before_them_and_outputs_follow():
    call = FunctionCallItem(call_id="c", name="f", arguments="{}")
    other = FunctionCallItem(call_id="d", name="f", arguments="{}")
    said = MessageItem(role="assistant", content="Wait.")
    answers = [FunctionOutputItem(call_id=name, output="x") for name in ("c", "d")]
    turns = list(messages([said, call, other, *answers]))
    assert [turn.role for turn in turns] == ["assistant", "tool", "tool"]
    assert [found.id for found in turns[0].tool_calls] == ["c", "d"]
    assert behind([said, call, other, *answers], 2) == [other, answers[1]]
    with pytest.raises(InvalidRequest, match="answers no function call"):
        list(messages(answers))
