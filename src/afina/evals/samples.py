"""Answers as graders see them, and as they are shown. Knows not who has answered."""

from contextlib import suppress

from pydantic import JsonValue
from pydantic_core import from_json

from afina.schemas.chat import CreateChatCompletion
from afina.schemas.chat_messages import JsonObject
from afina.schemas.chat_replies import ChatCompletion, ChatUsage
from afina.schemas.eval_runs import EvalError, Sample, SampleMessage, TokenUsage
from afina.schemas.stored_chats import stored_message


def of_reply(reply: ChatCompletion) -> JsonObject:
    """The namespace `sample` of a chat's reply."""
    choices: list[JsonValue] = [choice.model_dump(mode="json", exclude_none=True) for choice in reply.choices]
    return completed({"model": reply.model, "choices": choices, "usage": reply.usage.model_dump(mode="json")})


def completed(sample: JsonObject) -> JsonObject:
    """A sample with the text, the calls and the JSON of its first choice, where it does not say them itself."""
    message = first_message(sample)
    text, calls = message.get("content"), message.get("tool_calls") or []
    whole: JsonObject = {
        "output_text": text if isinstance(text, str) else "",
        "output_tools": calls,
        **sample,
    }
    if "output_json" not in whole and isinstance(whole["output_text"], str):
        with suppress(ValueError):
            whole["output_json"] = from_json(whole["output_text"], allow_inf_nan=False)
    return whole


def first_message(sample: JsonObject) -> JsonObject:
    """The message of the first choice; empty where there is none."""
    match sample.get("choices"):
        case [{"message": dict(message)}, *_]:
            return message
        case _:
            return {}


def shown(asked: CreateChatCompletion, reply: ChatCompletion) -> Sample:
    """What was asked of a model, and what it said."""
    choice = reply.choices[0]
    said = SampleMessage(role="assistant", content=choice.message.content or "")
    return unanswered(asked).model_copy(
        update={
            "output": [said],
            "finish_reason": choice.finish_reason,
            "usage": used(reply.usage),
        }
    )


def unanswered(asked: CreateChatCompletion, error: EvalError | None = None) -> Sample:
    """What was asked of a model, without an answer."""
    messages = (message.model_dump(mode="json", exclude_none=True) for message in asked.messages)
    return Sample(
        input=[
            SampleMessage(role=each["role"], content=stored_message("", each).content or "")
            for each in messages
        ],
        model=asked.model,
        temperature=1.0 if asked.temperature is None else asked.temperature,
        top_p=1.0 if asked.top_p is None else asked.top_p,
        seed=asked.seed or 0,
        max_completion_tokens=asked.max_completion_tokens or 0,
        error=error or EvalError(),
    )


def shown_recorded(sample: JsonObject) -> Sample:
    """What a sample from elsewhere tells of itself."""
    text, model = sample.get("output_text"), sample.get("model")
    return Sample(
        output=[SampleMessage(role="assistant", content=text)] if isinstance(text, str) else [],
        model=model if isinstance(model, str) else "",
        finish_reason="stop",
    )


def used(counts: ChatUsage) -> TokenUsage:
    """A chat's tokens in the words of evals."""
    return TokenUsage(
        prompt_tokens=counts.prompt_tokens,
        completion_tokens=counts.completion_tokens,
        cached_tokens=counts.prompt_tokens_details.cached_tokens,
        total_tokens=counts.total_tokens,
    )
