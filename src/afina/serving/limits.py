"""What a chat request asks for that no host can do yet: refused by name, never ignored."""

from collections.abc import Iterator

from afina.errors import InvalidRequest
from afina.schemas.chat import CreateChatCompletion
from afina.schemas.chat_messages import AssistantMessage, AudioPart, FilePart, ImagePart, Part, ToolMessage


def refuse_unsupported(request: CreateChatCompletion) -> None:
    """A 400 for the first parameter whose meaning would be lost."""
    for param in unsupported(request):
        raise InvalidRequest(f"'{param}' is not supported yet.", param=param, code="unsupported_parameter")


def unsupported(request: CreateChatCompletion) -> Iterator[str]:
    """The parameters that are set to something that changes the reply and cannot be honoured."""
    if "audio" in (request.modalities or []):
        yield "modalities"
    policy = request.moderation.policy if request.moderation else None
    for side, rule in (("input", policy and policy.input), ("output", policy and policy.output)):
        if rule and rule.mode == "block":
            yield f"moderation.policy.{side}.mode"


def refuse_inconsistent(request: CreateChatCompletion) -> None:
    """A 400 for fields that contradict each other."""
    if request.top_logprobs and not request.logprobs:
        raise InvalidRequest(
            "The 'top_logprobs' parameter is only allowed when 'logprobs' is enabled.", param="top_logprobs"
        )
    called: set[str] = set()
    for place, message in enumerate(request.messages):
        for number, part in enumerate(message.content if isinstance(message.content, list) else []):
            check_readable(part, f"messages[{place}].content[{number}]")
        if isinstance(message, AssistantMessage):
            check_assistant(message, f"messages[{place}]")
            called |= {call.id for call in message.tool_calls or []}
        if isinstance(message, ToolMessage) and message.tool_call_id not in called:
            param = f"messages[{place}].tool_call_id"
            text = "a message with role 'tool' must answer a call of an earlier message's 'tool_calls'"
            raise InvalidRequest(f"Invalid '{param}': {text}.", param=param, code="invalid_value")


def check_readable(part: Part, param: str) -> None:
    """The models here read text; and nothing is ever fetched from where a request points."""
    match part:
        case ImagePart(image_url=image) if not image.url.startswith("data:"):
            param, code = f"{param}.image_url.url", "image_url_not_allowed"
            text = f"Invalid '{param}': nothing is fetched from a URL in a request, and this model reads text only."
        case ImagePart() | AudioPart() | FilePart():
            code = "invalid_value"
            text = f"Invalid '{param}': this model reads text only; leave out the part of type '{part.type}'."
        case _:
            return
    raise InvalidRequest(text, param=param, code=code)


def check_assistant(message: AssistantMessage, param: str) -> None:
    """An assistant's message says something, calls something or refuses."""
    if message.content is message.refusal is message.tool_calls is message.function_call is None:
        text = f"Invalid '{param}': an assistant's message needs 'content' or 'tool_calls'."
        raise InvalidRequest(text, param=param, code="invalid_value")
