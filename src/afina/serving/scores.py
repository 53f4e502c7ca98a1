"""From conversations to what a host is asked for, and from its log-probabilities to scores.

Conversations are checked, rendered and weighted as the rows of a training file, so that a mean over a validation file
is the job's validation loss.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from afina.data import chat_format
from afina.data.messages import conversation
from afina.data.render import Rendered
from afina.data.strict_json import JsonObject
from afina.errors import DataError, InvalidRequest
from afina.schemas.completions import CompletionChoice, CompletionRequest
from afina.schemas.scores import CreateScores, Score
from afina.serving.bases import Base

TOKENS_AT_ONCE = 16_384  # of one request to the host: its reply has an entry for each


@dataclass(frozen=True)
class Scored:
    """One row behind the host: how many supervised tokens, their summed loss, and how many were likeliest."""

    tokens: int
    loss: float
    correct: int


def prepare(request: CreateScores, base: Base) -> list[list[Rendered]]:
    """The rows of each input; 400 for the first that is no conversation, or does not fit the context."""
    return [rows(value, base, f"inputs[{place}]") for place, value in enumerate(request.inputs)]


def rows(value: JsonObject, base: Base, where: str) -> list[Rendered]:
    """One input's rows: several only where a template writes a turn differently once the talk goes on."""
    for fault in chat_format.check(value):
        if not fault.warning:
            raise refusal(f"{where}.{fault.field}", fault.text.lstrip(" :"), fault.cure)
    talk = conversation(value)
    try:
        found = base.renderer.example(talk.messages, talk.tools)
    except DataError as error:
        raise refusal(f"{where}.messages", error.message, error.cure) from None
    if not any(any(row.weights[1:]) for row in found):
        raise refusal(f"{where}.messages", "the assistant says nothing", "write what the assistant says")
    longest = max(len(row.ids) for row in found)
    if longest > base.context:
        raise InvalidRequest(
            f"This model's maximum context length is {base.context} tokens. However, '{where}.messages' resulted in "
            f"{longest} tokens. Please reduce the length of the messages.",
            param=f"{where}.messages",
            code="context_length_exceeded",
        )
    return found


def refusal(param: str, why: str, cure: str) -> InvalidRequest:
    """A 400 in the words of the check of training files."""
    return InvalidRequest(f"Invalid '{param}': {why}; {cure}.", param=param, code="invalid_value")


def requests(rendered: Sequence[Rendered], *, model: str) -> Iterator[CompletionRequest]:
    """What the host is asked: every row's prompt echoed, a bounded number of tokens at a time."""
    prompts: list[list[int]] = []
    for row in rendered:
        if prompts and sum(map(len, prompts)) + len(row.ids) > TOKENS_AT_ONCE:
            yield echo(prompts, model)
            prompts = []
        prompts.append(row.ids)
    yield echo(prompts, model)


def echo(prompts: list[list[int]], model: str) -> CompletionRequest:
    """Nothing is generated; the likeliest token beside each shows which were right."""
    return CompletionRequest(model=model, prompt=prompts, max_tokens=0, temperature=0, echo=True, logprobs=1)


def read(row: Rendered, choice: CompletionChoice) -> Scored:
    """What a row's echo says about its supervised tokens."""
    assert choice.logprobs is not None
    values, tops = choice.logprobs.token_logprobs, choice.logprobs.top_logprobs
    tokens = correct = 0
    loss = 0.0
    for weight, value, top in zip(row.weights, values, tops, strict=True):
        if weight and value is not None and top is not None:
            tokens += 1
            loss -= value
            correct += value == max(top.values())
    return Scored(tokens, loss, correct)


def score(parts: Sequence[Scored]) -> Score:
    """An input's score from those of its rows."""
    tokens = sum(part.tokens for part in parts)
    loss = sum(part.loss for part in parts) / tokens
    return Score(tokens=tokens, loss=loss, correct=sum(part.correct for part in parts))
