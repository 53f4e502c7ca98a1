"""A chat request, with every field of the pinned client's."""

from typing import Annotated, Literal

from pydantic import AfterValidator, Field, Tag
from pydantic_core import PydanticCustomError

from afina.schemas.bounds import Metadata
from afina.schemas.chat_messages import FunctionName, JsonObject, Message, either
from afina.schemas.record import Request


def check_stops(value: list[str]) -> list[str]:
    """At most four, none of them empty."""
    if len(value) > 4 or "" in value:
        raise PydanticCustomError("invalid_value", "Expected at most 4 sequences, none of them empty")
    return value


def check_stop(value: str) -> str:
    """An empty sequence would stop everything."""
    return check_stops([value])[0]


class FunctionDefinition(Request):
    """A function that the model may call; `parameters` is a JSON Schema."""

    name: FunctionName
    description: str | None = None
    parameters: JsonObject | None = None
    strict: bool | None = None


class FunctionTool(Request):
    """The kind of tool that is shown to the model."""

    type: Literal["function"]
    function: FunctionDefinition


class CustomTool(Request):
    """A tool with free-form input: accepted, not shown to the model."""

    type: Literal["custom"]
    custom: JsonObject


class TextFormat(Request):
    """Whatever the model says."""

    type: Literal["text"]


class JsonObjectFormat(Request):
    """Some JSON object."""

    type: Literal["json_object"]


class JsonSchema(Request):
    """A JSON Schema with a name; `strict` refuses what could not be held, otherwise it is left out of the schema."""

    name: FunctionName
    description: str | None = None
    body: JsonObject | None = Field(default=None, alias="schema")
    strict: bool | None = None


class JsonSchemaFormat(Request):
    """JSON of a schema."""

    type: Literal["json_schema"]
    json_schema: JsonSchema


class NamedFunction(Request):
    """A function by its name."""

    name: FunctionName


class NamedTool(Request):
    """The tool that has to be called."""

    type: Literal["function"]
    function: NamedFunction


class NamedCustomTool(Request):
    """A custom tool that has to be called."""

    type: Literal["custom"]
    custom: NamedFunction


class AllowedTools(Request):
    """Which of the tools may be called at all, and whether one has to be."""

    mode: Literal["auto", "required"]
    tools: Annotated[list[NamedTool], Field(min_length=1, max_length=128)]


class AllowedToolChoice(Request):
    """A choice among some of the tools."""

    type: Literal["allowed_tools"]
    allowed_tools: AllowedTools


class ModerationMode(Request):
    """Whether what is flagged is only scored, or kept back."""

    mode: Literal["score", "block"]


class ModerationPolicy(Request):
    """What happens to a prompt and to a reply that are flagged."""

    input: ModerationMode | None = None
    output: ModerationMode | None = None


class Moderation(Request):
    """Moderation beside the reply."""

    model: str
    policy: ModerationPolicy | None = None


class StreamOptions(Request):
    """`include_usage` adds a last chunk with the usage; nothing is obfuscated."""

    include_usage: bool | None = None
    include_obfuscation: bool | None = None


Tool = Annotated[FunctionTool | CustomTool, Field(discriminator="type")]
ResponseFormat = Annotated[TextFormat | JsonObjectFormat | JsonSchemaFormat, Field(discriminator="type")]
ChosenTool = Annotated[NamedTool | NamedCustomTool | AllowedToolChoice, Field(discriminator="type")]
ToolChoice = Annotated[
    Annotated[Literal["none", "auto", "required"], Tag("text")] | Annotated[ChosenTool, Tag("object")],
    either("Expected 'none', 'auto', 'required' or an object"),
]
CalledFunction = Annotated[
    Annotated[Literal["none", "auto"], Tag("text")] | Annotated[NamedFunction, Tag("object")],
    either("Expected 'none', 'auto' or an object"),
]
Stop = Annotated[
    Annotated[str, AfterValidator(check_stop), Tag("text")]
    | Annotated[list[str], AfterValidator(check_stops), Tag("list")],
    either("Expected a string or an array of strings"),
]
Penalty = Annotated[float, Field(ge=-2, le=2)]
Bias = Annotated[float, Field(ge=-100, le=100)]


class CreateChatCompletion(Request):
    """The body of `POST /chat/completions`. The second half is taken and changes nothing.

    `top_k` (0 or -1: no limit) and `min_p` are not OpenAI's: clients send them in `extra_body`, as vLLM's.
    """

    messages: Annotated[list[Message], Field(min_length=1)]
    model: Annotated[str, Field(min_length=1, max_length=256)]
    max_tokens: Annotated[int, Field(ge=0)] | None = None
    max_completion_tokens: Annotated[int, Field(ge=0)] | None = None
    temperature: Annotated[float, Field(ge=0, le=2)] | None = None
    top_p: Annotated[float, Field(ge=0, le=1)] | None = None
    n: Annotated[int, Field(ge=1, le=128)] | None = None
    seed: int | None = None
    stop: Stop | None = None
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    tools: Annotated[list[Tool], Field(max_length=128)] | None = None
    tool_choice: ToolChoice | None = None
    parallel_tool_calls: bool | None = None
    functions: Annotated[list[FunctionDefinition], Field(max_length=128)] | None = None
    function_call: CalledFunction | None = None
    frequency_penalty: Penalty | None = None
    presence_penalty: Penalty | None = None
    logit_bias: Annotated[dict[str, Bias], Field(max_length=1024)] | None = None
    logprobs: bool | None = None
    top_logprobs: Annotated[int, Field(ge=0, le=20)] | None = None
    response_format: ResponseFormat | None = None
    modalities: list[Literal["text", "audio"]] | None = None
    top_k: Annotated[int, Field(ge=-1)] | None = None
    min_p: Annotated[float, Field(ge=0, le=1)] | None = None

    audio: JsonObject | None = None
    metadata: Metadata | None = None
    moderation: Moderation | None = None
    prediction: JsonObject | None = None
    prompt_cache_key: str | None = None
    prompt_cache_options: JsonObject | None = None
    prompt_cache_retention: Literal["in_memory", "in-memory", "24h"] | None = None
    reasoning_effort: Literal["none", "minimal", "low", "medium", "high", "xhigh", "max"] | None = None
    safety_identifier: Annotated[str, Field(max_length=512)] | None = None
    service_tier: Literal["auto", "default", "flex", "scale", "priority", "fast"] | None = None
    store: bool | None = None
    user: Annotated[str, Field(max_length=512)] | None = None
    verbosity: Literal["low", "medium", "high"] | None = None
    web_search_options: JsonObject | None = None

    @property
    def wants_usage(self) -> bool:
        """Whether a stream ends with a chunk that counts the tokens."""
        return self.stream_options is not None and self.stream_options.include_usage is True
