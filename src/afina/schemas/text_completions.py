"""`POST /v1/completions`: text that goes on, without a conversation; every field of the pinned client's."""

from typing import Annotated, Literal

from pydantic import Field, Tag

from afina.schemas.chat import Bias, Penalty, Stop, StreamOptions
from afina.schemas.chat_replies import ChatUsage
from afina.schemas.completions import Finish
from afina.schemas.inputs import Ids, by_first_item
from afina.schemas.record import Record, Request

MOST_REPLIES = 128  # of one request, over all its prompts

Prompt = Annotated[
    Annotated[str, Tag("text")]
    | Annotated[list[str], Field(max_length=MOST_REPLIES), Tag("texts")]
    | Annotated[Ids, Tag("ids")]
    | Annotated[list[Ids], Field(max_length=MOST_REPLIES), Tag("rows")],
    by_first_item("Expected a string, or an array of strings, of token ids or of arrays of token ids"),
]


class CreateCompletion(Request):
    """The body. No prompt, or an empty one, is the beginning of a document; `user` changes nothing.

    `top_k` and `min_p` are not OpenAI's: clients send them in `extra_body`, as vLLM's.
    """

    model: Annotated[str, Field(min_length=1, max_length=256)]
    prompt: Prompt | None = None
    best_of: Annotated[int, Field(ge=0, le=MOST_REPLIES)] | None = None
    echo: bool | None = None
    frequency_penalty: Penalty | None = None
    logit_bias: Annotated[dict[str, Bias], Field(max_length=1024)] | None = None
    logprobs: Annotated[int, Field(ge=0, le=5)] | None = None
    max_tokens: Annotated[int, Field(ge=0)] | None = None
    n: Annotated[int, Field(ge=1, le=MOST_REPLIES)] | None = None
    presence_penalty: Penalty | None = None
    seed: int | None = None
    stop: Stop | None = None
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    suffix: str | None = None
    temperature: Annotated[float, Field(ge=0, le=2)] | None = None
    top_p: Annotated[float, Field(ge=0, le=1)] | None = None
    top_k: Annotated[int, Field(ge=-1)] | None = None
    min_p: Annotated[float, Field(ge=0, le=1)] | None = None
    user: Annotated[str, Field(max_length=512)] | None = None

    @property
    def wants_usage(self) -> bool:
        """Whether a stream ends with a chunk that counts the tokens."""
        return self.stream_options is not None and self.stream_options.include_usage is True


class TextLogprobs(Record):
    """An entry for each token. Offsets count characters from the beginning of the prompt, echoed or not.

    The first token of all has nothing before it, and null, unless something stands before a document's first.
    `top_logprobs` is null where no alternatives were asked for.
    """

    tokens: list[str]
    token_logprobs: list[float | None]
    top_logprobs: list[dict[str, float] | None] | None
    text_offset: list[int]


class TextChoice(Record):
    """One of the replies; those of prompt p are p * n to p * n + n - 1."""

    text: str
    index: int
    logprobs: TextLogprobs | None = None
    finish_reason: Finish | None


class TextCompletion(Record):
    """A whole reply, or what a stream's event adds to one; `model` is the name that was asked for."""

    id: str
    object: Literal["text_completion"] = "text_completion"
    created: int
    model: str
    choices: list[TextChoice]
    usage: ChatUsage | None = None
    system_fingerprint: str
