"""A request for a response, with every field of the pinned client's."""

from typing import Annotated, Literal

from pydantic import ConfigDict, Discriminator, Field, Tag

from afina.schemas.bounds import Metadata
from afina.schemas.chat import FunctionDefinition, JsonObject, JsonObjectFormat, TextFormat
from afina.schemas.chat_messages import FunctionName, either
from afina.schemas.record import Request
from afina.schemas.response_items import Item, WithoutNulls

HOSTED = "Expected a tool of type 'function': this server runs no hosted, custom or MCP tools"


def function_type(value: object) -> str | None:
    """Whether a tool, or a choice of tools, is one of those that are known here."""
    match value:
        case {"type": "function"} | FunctionTool() | NamedFunctionTool():
            return "function"
        case {"type": "allowed_tools"} | AllowedFunctions():
            return "allowed_tools"
        case _:
            return None


class FunctionTool(FunctionDefinition, WithoutNulls):
    """A function that may be called; what programs of a hosted interpreter might do with it does not matter."""

    type: Literal["function"] = "function"
    allowed_callers: list[str] | None = Field(default=None, exclude=True)
    concurrent: bool | None = Field(default=None, alias="async", exclude=True)
    defer_loading: bool | None = Field(default=None, exclude=True)
    output_schema: JsonObject | None = Field(default=None, exclude=True)


class NamedFunctionTool(Request):
    """The function that has to be called, or one of those that may be."""

    type: Literal["function"] = "function"
    name: FunctionName


class AllowedFunctions(Request):
    """Which of the tools may be called at all, and whether one has to be."""

    type: Literal["allowed_tools"] = "allowed_tools"
    mode: Literal["auto", "required"]
    tools: Annotated[list[NamedFunctionTool], Field(min_length=1, max_length=128)]


class SchemaFormat(WithoutNulls):
    """JSON of a schema."""

    model_config = ConfigDict(serialize_by_alias=True)

    type: Literal["json_schema"] = "json_schema"
    name: FunctionName
    description: str | None = None
    body: JsonObject = Field(alias="schema")
    strict: bool | None = None


class TextConfig(WithoutNulls):
    """The form of the text; how wordy it is cannot be chosen."""

    format: Annotated[TextFormat | JsonObjectFormat | SchemaFormat, Field(discriminator="type")] | None = None
    verbosity: Literal["low", "medium", "high"] | None = None


class ConversationRef(Request):
    """A conversation by its id."""

    id: str


class StreamOptions(Request):
    """Nothing is obfuscated."""

    include_obfuscation: bool | None = None


only_functions = Discriminator(function_type, custom_error_type="invalid_value", custom_error_message=HOSTED)
Tool = Annotated[Annotated[FunctionTool, Tag("function")], only_functions]
Choice = Annotated[
    Annotated[NamedFunctionTool, Tag("function")] | Annotated[AllowedFunctions, Tag("allowed_tools")],
    only_functions,
]
ToolChoice = Annotated[
    Annotated[Literal["none", "auto", "required"], Tag("text")] | Annotated[Choice, Tag("object")],
    either("Expected 'none', 'auto', 'required' or an object"),
]
Input = Annotated[
    Annotated[str, Tag("text")] | Annotated[list[Item], Tag("list")],
    either("Expected a string or an array of items"),
]
Conversation = Annotated[
    Annotated[str, Tag("text")] | Annotated[ConversationRef, Tag("object")],
    either("Expected an id or an object"),
]
Include = Literal[
    "code_interpreter_call.outputs",
    "computer_call_output.output.image_url",
    "file_search_call.results",
    "message.input_image.image_url",
    "message.output_text.logprobs",
    "reasoning.encrypted_content",
    "web_search_call.action.sources",
    "web_search_call.results",
]
LOGPROBS: Include = "message.output_text.logprobs"
Tier = Literal["auto", "default", "flex", "scale", "priority", "fast", "ultrafast"]


class ResponsePrompt(Request):
    """What there is to answer. Without a model it is the one called `default`; without any input, nothing was said.

    `prompt` names a template of OpenAI's dashboard.
    """

    model: Annotated[str, Field(min_length=1, max_length=256)] | None = None
    input: Input | None = None
    instructions: str | None = None
    previous_response_id: str | None = None
    conversation: Conversation | None = None
    tools: Annotated[list[Tool], Field(max_length=128)] | None = None
    tool_choice: ToolChoice | None = None
    parallel_tool_calls: bool | None = None
    text: TextConfig | None = None
    truncation: Literal["auto", "disabled"] | None = None
    reasoning: JsonObject | None = None

    @property
    def conversation_id(self) -> str | None:
        """The conversation that it belongs to."""
        return self.conversation.id if isinstance(self.conversation, ConversationRef) else self.conversation


class CreateResponse(ResponsePrompt):
    """The body of `POST /responses`. The second half is taken and changes nothing."""

    background: bool | None = None
    include: list[Include] | None = None
    max_output_tokens: Annotated[int, Field(ge=1)] | None = None
    metadata: Metadata | None = None
    moderation: JsonObject | None = None
    prompt: JsonObject | None = None
    store: bool | None = None
    stream: bool | None = None
    temperature: Annotated[float, Field(ge=0, le=2)] | None = None
    top_logprobs: Annotated[int, Field(ge=0, le=20)] | None = None
    top_p: Annotated[float, Field(ge=0, le=1)] | None = None

    access_programs: JsonObject | None = None
    background_options: JsonObject | None = None
    context_management: list[JsonObject] | None = None
    image: JsonObject | None = None
    max_tool_calls: Annotated[int, Field(ge=0)] | None = None
    prompt_cache_key: str | None = None
    prompt_cache_options: JsonObject | None = None
    prompt_cache_retention: Literal["in_memory", "in-memory", "24h"] | None = None
    safety_identifier: Annotated[str, Field(max_length=512)] | None = None
    service_tier: Tier | None = None
    stream_options: StreamOptions | None = None
    user: Annotated[str, Field(max_length=512)] | None = None


class CountInputTokens(ResponsePrompt):
    """The body of `POST /responses/input_tokens`."""

    personality: str | None = None


class CompactResponse(Request):
    """The body of `POST /responses/compact`; what speaks of caches and tiers changes nothing."""

    model: Annotated[str, Field(min_length=1, max_length=256)] | None
    input: Input | None = None
    instructions: str | None = None
    previous_response_id: str | None = None
    image: JsonObject | None = None
    prompt_cache_key: str | None = None
    prompt_cache_options: JsonObject | None = None
    prompt_cache_retention: Literal["in_memory", "in-memory", "24h"] | None = None
    service_tier: Tier | None = None
