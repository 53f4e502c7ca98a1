"""What a chat request is answered with: one object, or a stream of chunks."""

from typing import Literal

from pydantic import SerializerFunctionWrapHandler, model_serializer

from afina.schemas.record import Record

FinishReason = Literal["stop", "length", "tool_calls", "function_call"]


class CalledFunction(Record):
    """`arguments` is JSON text, as the model wrote it."""

    name: str
    arguments: str


class ToolCall(Record):
    """A call that the model wants made."""

    id: str
    type: Literal["function"] = "function"
    function: CalledFunction


class AssistantReply(Record):
    """What the model said; `content` is null when it only calls tools."""

    role: Literal["assistant"] = "assistant"
    content: str | None
    refusal: str | None = None
    annotations: list[dict[str, str]] = []
    tool_calls: list[ToolCall] | None = None
    function_call: CalledFunction | None = None

    @model_serializer(mode="wrap")
    def without_absent_calls(self, dump: SerializerFunctionWrapHandler) -> dict[str, object]:
        """Clients test for the keys: they are there only with calls in them."""
        fields = dump(self)
        return {
            key: fields[key] for key in fields if fields[key] or key not in ("tool_calls", "function_call")
        }


class Alternative(Record):
    """A token at its place: its text, its bytes (of a part of a character too), how likely the model found it."""

    token: str
    bytes: list[int]
    logprob: float


class TokenLogprob(Alternative):
    """A token of the reply, and the likeliest ones in its place."""

    top_logprobs: list[Alternative]


class ChoiceLogprobs(Record):
    """An entry for each token of the content, or of what is new in it."""

    content: list[TokenLogprob]
    refusal: None = None


class ChatChoice(Record):
    """One of the `n` replies."""

    index: int
    message: AssistantReply
    logprobs: ChoiceLogprobs | None = None
    finish_reason: FinishReason


class PromptDetails(Record):
    """A part of the prompt's count."""

    cached_tokens: int = 0
    audio_tokens: int = 0


class CompletionDetails(Record):
    """Parts of the completion's count."""

    reasoning_tokens: int = 0
    audio_tokens: int = 0
    accepted_prediction_tokens: int = 0
    rejected_prediction_tokens: int = 0


class ChatUsage(Record):
    """Tokens in and out; the prompt is counted once, whatever `n` is."""

    prompt_tokens: int
    completion_tokens: int
    total_tokens: int
    prompt_tokens_details: PromptDetails = PromptDetails()
    completion_tokens_details: CompletionDetails = CompletionDetails()


class ChatCompletion(Record):
    """A whole reply; `model` is the name that was asked for."""

    id: str
    object: Literal["chat.completion"] = "chat.completion"
    created: int
    model: str
    choices: list[ChatChoice]
    usage: ChatUsage
    service_tier: Literal["default"] = "default"
    system_fingerprint: str


class ToolCallDelta(ToolCall):
    """A call in a stream; it comes whole."""

    index: int


class Delta(Record):
    """What is new in a choice; only what is new is there."""

    role: Literal["assistant"] | None = None
    content: str | None = None
    tool_calls: list[ToolCallDelta] | None = None
    function_call: CalledFunction | None = None

    @model_serializer(mode="wrap")
    def only_news(self, dump: SerializerFunctionWrapHandler) -> dict[str, object]:
        """Leave out what is null."""
        return {key: value for key, value in dump(self).items() if value is not None}


class ChunkChoice(Record):
    """The news of one of the `n` replies."""

    index: int
    delta: Delta
    logprobs: ChoiceLogprobs | None = None
    finish_reason: FinishReason | None = None


class ChatChunk(Record):
    """One event of a stream; the one with the usage has no choices."""

    id: str
    object: Literal["chat.completion.chunk"] = "chat.completion.chunk"
    created: int
    model: str
    choices: list[ChunkChoice]
    usage: ChatUsage | None = None
    service_tier: Literal["default"] = "default"
    system_fingerprint: str
