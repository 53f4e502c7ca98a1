"""Chats that are kept because their request said `store`: what was asked, what was answered, and the export of many."""

from typing import Annotated, Literal

from pydantic import Field, JsonValue, SerializerFunctionWrapHandler, model_serializer

from afina.schemas.bounds import Metadata
from afina.schemas.chat import CreateChatCompletion, JsonObject
from afina.schemas.chat_replies import ChatCompletion
from afina.schemas.files import FileObject
from afina.schemas.record import Record, Request, internal

# Shown beside the reply, as OpenAI does it.
SHOWN = (
    "frequency_penalty",
    "presence_penalty",
    "response_format",
    "seed",
    "temperature",
    "tool_choice",
    "tools",
    "top_p",
)
KEPT = {*SHOWN, "messages", "user", "functions", "function_call", "parallel_tool_calls"}


class StoredMessage(Record):
    """A message of the request. `content` is its text, also where it came in parts; then they stand beside it."""

    id: str
    role: str
    content: str | None = None
    content_parts: list[JsonObject] | None = None
    name: str | None = None
    refusal: str | None = None
    tool_calls: list[JsonObject] | None = None
    tool_call_id: str | None = None
    function_call: JsonObject | None = None

    @model_serializer(mode="wrap")
    def without_absent_calls(self, dump: SerializerFunctionWrapHandler) -> dict[str, object]:
        """Clients test for the keys: they are there only with something in them."""
        fields = dump(self)
        calls = ("tool_calls", "tool_call_id", "function_call")
        return {key: value for key, value in fields.items() if value is not None or key not in calls}


class StoredChat(Record):
    """A chat that was kept. On the wire it is the reply, with its metadata and what shaped it."""

    id: str
    created: int
    model: str
    completion: ChatCompletion
    request: JsonObject
    metadata: dict[str, str] | None = None
    project_id: str = internal("")

    @classmethod
    def of(cls, request: CreateChatCompletion, reply: ChatCompletion) -> "StoredChat":
        """What to keep of a request and the reply to it."""
        asked = request.model_dump(mode="json", include=KEPT, exclude_none=True, by_alias=True)
        return cls(
            id=reply.id,
            created=reply.created,
            model=reply.model,
            completion=reply,
            request=asked,
            metadata=request.metadata,
        )

    @model_serializer(mode="plain")
    def answered(self) -> dict[str, object]:
        """The reply as it was given, and beside it what OpenAI shows of the request."""
        shown = {name: self.request.get(name) for name in SHOWN}
        asked = {**shown, "input_user": self.request.get("user")}
        return {**asked, **self.completion.wire(), "metadata": self.metadata or {}}

    @property
    def messages(self) -> list[StoredMessage]:
        """What was said before the reply, in its order."""
        return [stored_message(f"{self.id}-{i}", said) for i, said in enumerate(self.said)]

    @property
    def said(self) -> list[JsonObject]:
        """The messages of the request as they came."""
        messages = self.request["messages"]
        assert isinstance(messages, list)
        return [message for message in messages if isinstance(message, dict)]


def stored_message(identifier: str, said: JsonObject) -> StoredMessage:
    """A message with an id, by which a page of them can go on."""
    content = said.get("content")
    parts = [part for part in content if isinstance(part, dict)] if isinstance(content, list) else None
    text = content if parts is None else "".join(map(text_of, parts))
    return StoredMessage.model_validate(
        {**said, "id": identifier, "content": text, "content_parts": parts}, extra="ignore"
    )


def text_of(part: JsonObject) -> str:
    """The words of a part."""
    words: JsonValue = part.get("text") or part.get("refusal")
    return words if isinstance(words, str) else ""


class UpdateChat(Request):
    """The body of `POST /chat/completions/{id}`: the metadata is replaced as a whole."""

    metadata: Metadata | None


class ExportChats(Request):
    """The body of `POST /v1/afina/chat_exports`: which chats, and what their file shall be called."""

    model: Annotated[str, Field(min_length=1, max_length=256)] | None = None
    metadata: Metadata | None = None
    filename: Annotated[str, Field(min_length=1, max_length=255)] = "stored-chats.jsonl"


class LeftOut(Record):
    """Chats that are no examples: their reply was cut short, or training would refuse their row."""

    cut_short: int = 0
    unfit: int = 0


class ChatExport(Record):
    """The training file that was made of stored chats, oldest first."""

    object: Literal["afina.chat_export"] = "afina.chat_export"
    file: FileObject
    examples: int
    left_out: LeftOut
