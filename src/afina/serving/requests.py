"""From a chat request to what a host is asked for: token ids, a bounded length, sampling parameters."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from afina.data.strict_json import JsonObject
from afina.errors import InvalidRequest
from afina.schemas.chat import CreateChatCompletion
from afina.schemas.completions import CompletionRequest
from afina.schemas.completions import StreamOptions as HostStreamOptions
from afina.schemas.text_completions import CreateCompletion
from afina.serving.bases import Base
from afina.serving.forms import form_of
from afina.serving.logprobs import Spelling
from afina.serving.offers import Offer, declared, offer_of

SEEDS = 2**62


@dataclass(frozen=True)
class Asked:
    """`completion` is None where no token is wanted; the rest says how to read the reply."""

    prompt_tokens: int
    completion: CompletionRequest | None
    offer: Offer | None
    spelling: Spelling | None


def prepare(request: CreateChatCompletion, base: Base, *, model: str, bias: Mapping[str, float]) -> Asked:
    """Render the messages and bound the answer by what is left of the context; 400 when nothing is."""
    offer = offer_of(request)
    form = form_of(request, offer)
    prompt = base.renderer.prompt(messages(request), declared(request) or None)
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
    spelling = Spelling(base.renderer, most=request.top_logprobs or 0) if request.logprobs else None
    asked = None
    if wanted > 0:
        found = sampling(request, prompt, model=model, max_tokens=min(wanted, left), bias=bias)
        asked = found.model_copy(
            update={
                "response_format": form,
                "logprobs": (request.top_logprobs or 0) if request.logprobs else None,
                "return_tokens_as_token_ids": bool(request.logprobs),
            }
        )
    return Asked(len(prompt), asked, offer, spelling)


def sampling(
    request: CreateChatCompletion | CreateCompletion,
    prompt: list[int] | list[list[int]],
    *,
    model: str,
    max_tokens: int,
    bias: Mapping[str, float],
) -> CompletionRequest:
    """What all requests say in the same words; a nucleus of nothing is the most likely token."""
    greedy = request.top_p == 0
    return CompletionRequest(
        model=model,
        prompt=prompt,
        max_tokens=max_tokens,
        temperature=0.0 if greedy else float(1 if request.temperature is None else request.temperature),
        top_p=1.0 if greedy or request.top_p is None else float(request.top_p),
        top_k=request.top_k or 0,
        min_p=float(request.min_p or 0),
        presence_penalty=float(request.presence_penalty or 0),
        frequency_penalty=float(request.frequency_penalty or 0),
        logit_bias=dict(bias),
        n=request.n or 1,
        seed=None if request.seed is None else request.seed % SEEDS,
        stop=[request.stop] if isinstance(request.stop, str) else request.stop or [],
        stream=bool(request.stream),
        stream_options=HostStreamOptions(include_usage=bool(request.stream)),
    )


def messages(request: CreateChatCompletion) -> Sequence[JsonObject]:
    """The conversation as templates take it."""
    return [message.model_dump(exclude_none=True) for message in request.messages]
