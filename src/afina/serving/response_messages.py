"""Items as the messages of a chat, and a request for a response as one for a chat."""

from collections.abc import Generator, Iterable, Iterator, Sequence
from contextlib import contextmanager

from afina import ids
from afina.errors import InvalidRequest
from afina.schemas.chat import (
    AllowedToolChoice,
    AllowedTools,
    CreateChatCompletion,
    FunctionDefinition,
    JsonSchema,
    JsonSchemaFormat,
    NamedFunction,
    NamedTool,
)
from afina.schemas.chat import FunctionTool as ChatTool
from afina.schemas.chat import ResponseFormat as ChatFormat
from afina.schemas.chat import ToolChoice as ChatChoice
from afina.schemas.chat_messages import (
    AskedCall,
    AssistantMessage,
    FunctionCall,
    Message,
    RefusalPart,
    SystemMessage,
    ToolMessage,
    UserMessage,
)
from afina.schemas.response_items import (
    CompactionItem,
    FunctionCallItem,
    FunctionOutputItem,
    InputText,
    Item,
    MessageItem,
    OutputText,
    Part,
    ReasoningItem,
    Role,
)
from afina.schemas.responses import (
    LOGPROBS,
    AllowedFunctions,
    CreateResponse,
    FunctionTool,
    Input,
    NamedFunctionTool,
    ResponsePrompt,
    SchemaFormat,
    TextConfig,
    ToolChoice,
)
from afina.serving import summaries

PREFIXES = {
    "message": "msg_",
    "function_call": "fc_",
    "function_call_output": "fco_",
    "reasoning": "rs_",
    "compaction": "cmp_",
}
RENAMED = {"messages": "input", "response_format": "text.format", "max_tokens": "max_output_tokens"}


def items_of(given: Input | None) -> list[Item]:
    """A request's input as items that have ids, a status and parts: as they are listed later."""
    if given is None:
        return []
    items = [MessageItem(role="user", content=given)] if isinstance(given, str) else given
    return [settled(item) for item in items]


def brought(given: Input | None) -> list[str]:
    """The ids that a request's input comes with."""
    return [] if given is None or isinstance(given, str) else [item.id for item in given if item.id]


def settled(item: Item) -> Item:
    """An item that can be listed."""
    news: dict[str, object] = {"id": item.id or ids.prefixed(PREFIXES[item.type])}
    if not isinstance(item, CompactionItem):
        news["status"] = item.status or "completed"
    if isinstance(item, MessageItem):
        news["content"] = parts(item)
    return item.model_copy(update=news)


def parts(message: MessageItem) -> list[Part]:
    """The content of a message, also where it is plain text."""
    if isinstance(message.content, list):
        return message.content
    text = message.content
    part: Part = OutputText(text=text) if message.role == "assistant" else InputText(text=text)
    return [part]


def chat_request(request: ResponsePrompt, items: Sequence[Item], *, model: str) -> CreateChatCompletion:
    """The same wishes in the words of chat; without any item it is as if the user had said nothing."""
    said = list(messages(items)) or [text_message("user", "")]
    if request.instructions:
        said.insert(0, text_message("developer", request.instructions))
    chat = CreateChatCompletion(
        model=model,
        messages=said,
        tools=[chat_tool(tool) for tool in request.tools] if request.tools else None,
        tool_choice=chat_choice(request.tool_choice),
        parallel_tool_calls=request.parallel_tool_calls,
        response_format=chat_format(request.text),
    )
    return with_sampling(chat, request) if isinstance(request, CreateResponse) else chat


def with_sampling(chat: CreateChatCompletion, request: CreateResponse) -> CreateChatCompletion:
    """What says how the reply is sampled."""
    spelt = wants_logprobs(request)
    return chat.model_copy(
        update={
            "max_completion_tokens": request.max_output_tokens,
            "temperature": request.temperature,
            "top_p": request.top_p,
            "logprobs": spelt or None,
            "top_logprobs": request.top_logprobs if spelt else None,
        }
    )


def wants_logprobs(request: CreateResponse) -> bool:
    """Whether each token of the text is to come with how likely it was."""
    return LOGPROBS in (request.include or []) or bool(request.top_logprobs)


def messages(items: Iterable[Item]) -> Iterator[Message]:
    """Calls belong to the assistant's message before them; an output must answer one of the calls."""
    called: set[str] = set()
    turn: AssistantMessage | None = None
    for item in items:
        if isinstance(item, FunctionCallItem):
            called.add(item.call_id)
            turn = with_call(turn or AssistantMessage(role="assistant"), item)
            continue
        if turn is not None:
            yield turn
            turn = None
        if isinstance(item, FunctionOutputItem) and item.call_id not in called:
            raise InvalidRequest(
                "A 'function_call_output' of the input answers no function call before it.", param="input"
            )
        said = message(item)
        if isinstance(said, AssistantMessage):
            turn = said
        elif said is not None:
            yield said
    if turn is not None:
        yield turn


def with_call(turn: AssistantMessage, item: FunctionCallItem) -> AssistantMessage:
    """The assistant's turn with one more call."""
    function = FunctionCall(name=item.name, arguments=item.arguments)
    call = AskedCall(id=item.call_id, type="function", function=function)
    return turn.model_copy(update={"tool_calls": [*(turn.tool_calls or []), call]})


def message(item: Item) -> Message | None:
    """An item that is no call; None for what the model is not shown."""
    match item:
        case MessageItem():
            return text_message(item.role, text_of(parts(item)))
        case FunctionOutputItem(output=output):
            text = output if isinstance(output, str) else text_of(output)
            return ToolMessage(role="tool", content=text, tool_call_id=item.call_id)
        case CompactionItem():
            return UserMessage(role="user", content=summaries.summary_text(item))
        case ReasoningItem() | FunctionCallItem():
            return None


def text_message(role: Role, text: str) -> Message:
    """What somebody said."""
    match role:
        case "assistant":
            return AssistantMessage(role=role, content=text)
        case "user":
            return UserMessage(role=role, content=text)
        case "system" | "developer":
            return SystemMessage(role=role, content=text)


def text_of(parts: Sequence[Part]) -> str:
    """What the parts of a message say."""
    return "".join(part.refusal if isinstance(part, RefusalPart) else part.text for part in parts)


def chat_tool(tool: FunctionTool) -> ChatTool:
    """A function in chat's words."""
    function = FunctionDefinition(
        name=tool.name, description=tool.description, parameters=tool.parameters, strict=tool.strict
    )
    return ChatTool(type="function", function=function)


def chat_choice(choice: ToolChoice | None) -> ChatChoice | None:
    """A choice of tools in chat's words."""
    match choice:
        case NamedFunctionTool():
            return named(choice)
        case AllowedFunctions():
            allowed = AllowedTools(mode=choice.mode, tools=[named(tool) for tool in choice.tools])
            return AllowedToolChoice(type="allowed_tools", allowed_tools=allowed)
        case _:
            return choice


def named(tool: NamedFunctionTool) -> NamedTool:
    """A function by its name."""
    return NamedTool(type="function", function=NamedFunction(name=tool.name))


def chat_format(text: TextConfig | None) -> ChatFormat | None:
    """The form of the text in chat's words."""
    form = text.format if text else None
    if not isinstance(form, SchemaFormat):
        return form
    asked = form.model_dump(include={"name", "description", "body", "strict"})
    return JsonSchemaFormat(type="json_schema", json_schema=JsonSchema.model_validate(asked))


@contextmanager
def in_the_words_of_responses() -> Generator[None]:
    """A refusal by chat names the parameters that the client has sent."""
    try:
        yield
    except InvalidRequest as error:
        param, message = (error.param or "").replace(".function", ""), error.message
        for chats, ours in RENAMED.items():
            message = message.replace(f"'{chats}'", f"'{ours}'")
            param = ours if param == chats else param
        raise type(error)(message, param=param or None, code=error.code) from None
