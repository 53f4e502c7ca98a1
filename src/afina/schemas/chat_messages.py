"""The messages of a chat, with every field of the pinned client's."""

from typing import Annotated, Literal

from pydantic import Discriminator, Field, JsonValue, Tag

from afina.schemas.record import Request

JsonObject = dict[str, JsonValue]


def json_kind(value: object) -> str | None:
    """Which member of a union of JSON types a value belongs to."""
    match value:
        case str():
            return "text"
        case list():
            return "list"
        case dict() | Request():
            return "object"
        case _:
            return None


def either(message: str) -> Discriminator:
    """Tells a union's members apart by their JSON type, and says `message` when it is none of them."""
    return Discriminator(json_kind, custom_error_type="invalid_type", custom_error_message=message)


class TextPart(Request):
    """Text as one of several parts of a message; where a cache may end is only a hint."""

    type: Literal["text"]
    text: str
    prompt_cache_breakpoint: JsonObject | None = Field(default=None, exclude=True)


class RefusalPart(Request):
    """What the assistant said when it refused."""

    type: Literal["refusal"]
    refusal: str


class ImageUrl(Request):
    """Where an image is: `data:` and its bytes, or an address."""

    url: str
    detail: str | None = None


class ImagePart(Request):
    """An image as one of several parts of a message."""

    type: Literal["image_url"]
    image_url: ImageUrl
    prompt_cache_breakpoint: JsonObject | None = Field(default=None, exclude=True)


class AudioPart(Request):
    """Speech as one of several parts of a message."""

    type: Literal["input_audio"]
    input_audio: JsonObject
    prompt_cache_breakpoint: JsonObject | None = Field(default=None, exclude=True)


class FilePart(Request):
    """A document as one of several parts of a message."""

    type: Literal["file"]
    file: JsonObject
    prompt_cache_breakpoint: JsonObject | None = Field(default=None, exclude=True)


Part = Annotated[TextPart | RefusalPart | ImagePart | AudioPart | FilePart, Field(discriminator="type")]
Content = Annotated[
    Annotated[str, Tag("text")] | Annotated[list[Part], Field(min_length=1), Tag("list")],
    either("Expected a string or an array of content parts"),
]
Name = Annotated[str, Field(min_length=1, max_length=64)]
FunctionName = Annotated[str, Field(pattern=r"^[a-zA-Z0-9_-]{1,64}$")]


class SystemMessage(Request):
    """Instructions; `developer` is the newer word for `system`."""

    role: Literal["system", "developer"]
    content: Content
    name: Name | None = None


class UserMessage(Request):
    """What the user said."""

    role: Literal["user"]
    content: Content
    name: Name | None = None


class FunctionCall(Request):
    """A function's name and its arguments as JSON text."""

    name: str
    arguments: str


class AskedCall(Request):
    """A tool call of an earlier turn."""

    id: str
    type: Literal["function"]
    function: FunctionCall


class AssistantMessage(Request):
    """What the model said or called in an earlier turn."""

    role: Literal["assistant"]
    content: Content | None = None
    refusal: str | None = None
    name: Name | None = None
    tool_calls: Annotated[list[AskedCall], Field(min_length=1)] | None = None
    function_call: FunctionCall | None = None
    audio: JsonObject | None = Field(default=None, exclude=True)


class ToolMessage(Request):
    """A tool's answer to the call with the same id."""

    role: Literal["tool"]
    content: Content
    tool_call_id: str


class FunctionMessage(Request):
    """A function's answer, in the deprecated way."""

    role: Literal["function"]
    content: Content | None
    name: str


Message = Annotated[
    SystemMessage | UserMessage | AssistantMessage | ToolMessage | FunctionMessage,
    Field(discriminator="role"),
]
