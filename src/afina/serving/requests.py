"""From a chat request to what a host is asked for: token ids, a bounded length, sampling parameters."""

from collections.abc import Sequence
from dataclasses import dataclass

from afina.data.strict_json import JsonObject
from afina.errors import InvalidRequest
from afina.schemas.chat import CreateChatCompletion, FunctionTool
from afina.schemas.completions import CompletionRequest
from afina.schemas.completions import StreamOptions as HostStreamOptions
from afina.serving.bases import Base

SEEDS = 2**62


@dataclass(frozen=True)
class Asked:
    """`completion` is None where no token is wanted."""

    prompt_tokens: int
    completion: CompletionRequest | None


def prepare(request: CreateChatCompletion, base: Base, *, model: str) -> Asked:
    """Render the messages and bound the answer by what is left of the context; 400 when nothing is."""
    prompt = base.renderer.prompt(messages(request), tools(request) or None)
    left = base.context - len(prompt)
    if left < 1:
        raise InvalidRequest(
            f"This model's maximum context length is {base.context} tokens. However, your messages resulted in "
            f"{len(prompt)} tokens. Please reduce the length of the messages.",
            param="messages",
            code="context_length_exceeded",
        )
    limits = (request.max_completion_tokens, request.max_tokens)
    wanted = next((limit for limit in limits if limit is not None), left)
    if wanted == 0:
        return Asked(len(prompt), None)
    return Asked(len(prompt), completion(request, prompt, model=model, max_tokens=min(wanted, left)))


def completion(
    request: CreateChatCompletion, prompt: list[int], *, model: str, max_tokens: int
) -> CompletionRequest:
    """The same wishes in a host's words; a nucleus of nothing is the most likely token."""
    greedy = request.top_p == 0
    stop = [request.stop] if isinstance(request.stop, str) else request.stop
    return CompletionRequest(
        model=model,
        prompt=prompt,
        max_tokens=max_tokens,
        temperature=0.0 if greedy else float(1 if request.temperature is None else request.temperature),
        top_p=1.0 if greedy or request.top_p is None else float(request.top_p),
        n=request.n or 1,
        seed=None if request.seed is None else request.seed % SEEDS,
        stop=stop or [],
        stream=bool(request.stream),
        stream_options=HostStreamOptions(include_usage=bool(request.stream)),
    )


def messages(request: CreateChatCompletion) -> Sequence[JsonObject]:
    """The conversation as templates take it."""
    return [message.model_dump(exclude_none=True) for message in request.messages]


def tools(request: CreateChatCompletion) -> list[JsonObject]:
    """The functions that the model is told of."""
    if request.tool_choice == "none":
        return []
    return [
        tool.model_dump(exclude_none=True) for tool in request.tools or [] if isinstance(tool, FunctionTool)
    ]
