"""A response, the events of its stream, and what is kept of it."""

from typing import Literal

from pydantic import SerializerFunctionWrapHandler, model_serializer

from afina.schemas.chat_replies import TokenLogprob
from afina.schemas.record import Record
from afina.schemas.response_items import CompactionItem, Item, OutputItem, OutputText
from afina.schemas.responses import ConversationRef, TextConfig, Tool, ToolChoice
from afina.schemas.tokens import InputDetails, TokenCounts

ResponseStatus = Literal["queued", "in_progress", "completed", "incomplete", "failed", "cancelled"]
FINAL: frozenset[ResponseStatus] = frozenset({"completed", "incomplete", "failed", "cancelled"})


class ResponseError(Record):
    """Why there is no reply."""

    code: Literal["server_error", "invalid_prompt"] = "server_error"
    message: str


class IncompleteDetails(Record):
    """Why a reply ends early."""

    reason: Literal["max_output_tokens"] = "max_output_tokens"


class ResponseInputDetails(InputDetails):
    """A part of the input's count; nothing is paid for writing into a cache."""

    cache_write_tokens: int = 0


class ResponseUsage(TokenCounts):
    """Tokens in and out."""

    input_tokens_details: ResponseInputDetails = ResponseInputDetails()


class Reasoning(Record):
    """What was asked of a model that thinks."""

    effort: str | None = None
    summary: str | None = None


class Response(Record):
    """A reply with everything it was asked with, but for its input."""

    id: str
    object: Literal["response"] = "response"
    created_at: int
    status: ResponseStatus
    background: bool = False
    completed_at: int | None = None
    conversation: ConversationRef | None = None
    error: ResponseError | None = None
    incomplete_details: IncompleteDetails | None = None
    instructions: str | None = None
    max_output_tokens: int | None = None
    max_tool_calls: int | None = None
    metadata: dict[str, str] = {}
    model: str
    output: list[OutputItem] = []
    parallel_tool_calls: bool = True
    previous_response_id: str | None = None
    prompt_cache_key: str | None = None
    reasoning: Reasoning = Reasoning()
    safety_identifier: str | None = None
    service_tier: Literal["default"] = "default"
    store: bool = True
    temperature: float = 1.0
    text: TextConfig
    tool_choice: ToolChoice = "auto"
    tools: list[Tool] = []
    top_logprobs: int = 0
    top_p: float = 1.0
    truncation: Literal["auto", "disabled"] = "disabled"
    usage: ResponseUsage | None = None
    user: str | None = None


class Cut(Record):
    """How a piece of a stream was cut: its characters and the entries of its log-probabilities; none: a call."""

    text: int = 0
    logprobs: int = 0


class StoredResponse(Record):
    """A response with its own input, and how its stream was cut, so that a replay counts as the stream did.

    It goes on from `previous_response_id`, also within a conversation, where the wire does not say so. `request` is
    there until it has been answered in the background, for which the key `api_key_id` asked.
    """

    response: Response
    input: list[Item]
    previous_response_id: str | None = None
    cuts: list[Cut] = []
    request: dict[str, object] | None = None
    api_key_id: str | None = None


class ResponseEvent(Record):
    """One event of a stream; which fields there are depends on its type."""

    type: str
    sequence_number: int = 0
    response: Response | None = None
    output_index: int | None = None
    item: OutputItem | None = None
    item_id: str | None = None
    content_index: int | None = None
    part: OutputText | None = None
    delta: str | None = None
    text: str | None = None
    name: str | None = None
    arguments: str | None = None
    logprobs: list[TokenLogprob] | None = None

    @model_serializer(mode="wrap")
    def only_its_own(self, dump: SerializerFunctionWrapHandler) -> dict[str, object]:
        """Leave out the fields of other types."""
        return {name: value for name, value in dump(self).items() if value is not None}


class ItemPage(Record):
    """One page of items."""

    object: Literal["list"] = "list"
    data: list[Item]
    first_id: str | None
    last_id: str | None
    has_more: bool


class InputTokens(Record):
    """How long a prompt would be."""

    object: Literal["response.input_tokens"] = "response.input_tokens"
    input_tokens: int


class CompactedResponse(Record):
    """A conversation in short, to be sent in its place."""

    id: str
    object: Literal["response.compaction"] = "response.compaction"
    created_at: int
    output: list[CompactionItem]
    usage: ResponseUsage
