"""Chunks put together again are the whole reply, however the host's text is cut."""

import pytest

from afina.schemas.chat import CreateChatCompletion
from afina.schemas.chat_replies import ChatChunk, ChatUsage
from afina.schemas.completions import CompletionChoice
from afina.serving.choices import ChoiceStream, whole_choice
from afina.serving.gathered import Gathered
from afina.serving.offers import offer_of

CALL = '<tool_call>\n{"name": "f", "arguments": {"a": 1}}\n</tool_call>'
FUNCTION = {"name": "f", "parameters": {"type": "object"}}
USAGE = ChatUsage(prompt_tokens=1, completion_tokens=2, total_tokens=3)


@pytest.mark.parametrize("size", [1, 3, 1000])
@pytest.mark.parametrize(
    ("text", "fields"),
    [
        ("Hello.", {}),
        ("", {}),
        (CALL, {"tools": [{"type": "function", "function": FUNCTION}]}),
        (f"Wait.\n{CALL}\n{CALL}", {"tools": [{"type": "function", "function": FUNCTION}]}),
        (CALL, {"functions": [FUNCTION]}),
        (f"Wait.\n{CALL}", {"functions": [FUNCTION], "function_call": {"name": "f"}}),
    ],
)
def test_a_stream_adds_up_to_the_whole_reply(text: str, fields: dict, size: int):
    body = {"model": "m", "messages": [{"role": "user", "content": "Hi"}], **fields}
    request = CreateChatCompletion.model_validate(body)
    offer = offer_of(request)
    gathered, stream = Gathered(request), ChoiceStream(0, offer=offer)
    blank = ChatChunk(id="c", created=1, model="m", choices=[], system_fingerprint="fp")
    pieces = [text[start : start + size] for start in range(0, len(text), size)] or [""]
    for place, piece in enumerate(pieces):
        end = "stop" if place == len(pieces) - 1 else None
        for news in stream.feed(CompletionChoice(index=0, text=piece, finish_reason=end)):
            gathered.add(blank.model_copy(update={"choices": [news]}))
    gathered.add(blank.model_copy(update={"usage": USAGE}))
    (found,) = gathered.reply().choices
    whole = whole_choice(CompletionChoice(index=0, text=text, finish_reason="stop"), offer=offer)
    calls = [call.function for call in found.message.tool_calls or []]
    assert calls == [call.function for call in whole.message.tool_calls or []]
    unnamed = {"tool_calls": None}
    assert found.message.model_copy(update=unnamed) == whole.message.model_copy(update=unnamed)
    assert found.finish_reason == whole.finish_reason and gathered.reply().usage == USAGE
