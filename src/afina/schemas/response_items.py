"""What responses are made of: messages, function calls and their outputs, alike in requests, replies and rows."""

from typing import Annotated, Literal, cast

from pydantic import Discriminator, Field, SerializerFunctionWrapHandler, Tag, model_serializer

from afina.schemas.chat import JsonObject
from afina.schemas.chat_messages import FunctionName, RefusalPart, either
from afina.schemas.chat_replies import TokenLogprob
from afina.schemas.record import Request

Status = Literal["in_progress", "completed", "incomplete"]
Role = Literal["user", "assistant", "system", "developer"]
UNKNOWN_ITEM = (
    "Expected an item of type 'message', 'function_call', 'function_call_output', 'reasoning' or 'compaction': "
    "this server runs no hosted tools and reads no images, files or references"
)


class WithoutNulls(Request):
    """A part of a request or reply that leaves its nulls out on the wire."""

    @model_serializer(mode="wrap")
    def without_nulls(self, dump: SerializerFunctionWrapHandler) -> dict[str, object]:
        """Leave out what was not said."""
        return {name: value for name, value in dump(self).items() if value is not None}


class InputText(WithoutNulls):
    """Text of anybody but the model; where a cache may end is only a hint."""

    type: Literal["input_text"] = "input_text"
    text: str
    prompt_cache_breakpoint: JsonObject | None = Field(default=None, exclude=True)


class OutputText(WithoutNulls):
    """Text of the model; nothing here annotates it."""

    type: Literal["output_text"] = "output_text"
    text: str
    annotations: list[JsonObject] = []
    logprobs: list[TokenLogprob] | None = None


Part = Annotated[InputText | OutputText | RefusalPart, Field(discriminator="type")]
Content = Annotated[
    Annotated[str, Tag("text")] | Annotated[list[Part], Tag("list")],
    either("Expected a string or an array of content parts"),
]


class MessageItem(WithoutNulls):
    """What somebody said; a client may leave out the type, and `phase` means nothing here."""

    id: str | None = None
    type: Literal["message"] = "message"
    status: Status | None = None
    role: Role
    content: Content
    phase: Literal["commentary", "final_answer"] | None = Field(default=None, exclude=True)


class FunctionCallItem(WithoutNulls):
    """A function that the model wants called, with its arguments as JSON text."""

    id: str | None = None
    type: Literal["function_call"] = "function_call"
    status: Status | None = None
    call_id: Annotated[str, Field(min_length=1, max_length=64)]
    name: FunctionName
    arguments: str
    namespace: str | None = Field(default=None, exclude=True)
    caller: JsonObject | None = Field(default=None, exclude=True)
    concurrent: bool | None = Field(default=None, alias="async", exclude=True)


Output = Annotated[
    Annotated[str, Tag("text")] | Annotated[list[InputText], Tag("list")],
    either("Expected a string or an array of 'input_text' parts"),
]


class FunctionOutputItem(WithoutNulls):
    """What a function answered to the call with the same `call_id`."""

    id: str | None = None
    type: Literal["function_call_output"] = "function_call_output"
    status: Status | None = None
    call_id: Annotated[str, Field(min_length=1, max_length=64)]
    output: Output
    name: str | None = Field(default=None, exclude=True)
    namespace: str | None = Field(default=None, exclude=True)
    caller: JsonObject | None = Field(default=None, exclude=True)


class ReasoningItem(WithoutNulls):
    """Another model's thoughts, which clients send back as they came: kept, and not shown to the model."""

    id: str | None = None
    type: Literal["reasoning"] = "reasoning"
    status: Status | None = None
    summary: list[JsonObject] = []
    content: list[JsonObject] | None = None
    encrypted_content: str | None = None


class CompactionItem(WithoutNulls):
    """A conversation in short; `encrypted_content` is for this server alone to read."""

    id: str | None = None
    type: Literal["compaction"] = "compaction"
    encrypted_content: str


def item_type(value: object) -> str | None:
    """Which kind of item a value is: without a type it is a message."""
    match value:
        case {"type": str()}:
            return cast("dict[str, str]", value)["type"]
        case {"role": str()}:
            return "message"
        case MessageItem() | FunctionCallItem() | FunctionOutputItem() | ReasoningItem() | CompactionItem():
            return value.type
        case _:
            return None


Item = Annotated[
    Annotated[MessageItem, Tag("message")]
    | Annotated[FunctionCallItem, Tag("function_call")]
    | Annotated[FunctionOutputItem, Tag("function_call_output")]
    | Annotated[ReasoningItem, Tag("reasoning")]
    | Annotated[CompactionItem, Tag("compaction")],
    Discriminator(item_type, custom_error_type="invalid_value", custom_error_message=UNKNOWN_ITEM),
]
OutputItem = MessageItem | FunctionCallItem
