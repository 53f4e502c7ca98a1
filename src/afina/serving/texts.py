"""Text that goes on: from a legacy completion's prompts to what a host is asked for."""

from collections.abc import Mapping
from dataclasses import dataclass

from afina.errors import InvalidRequest
from afina.schemas.completions import CompletionRequest
from afina.schemas.text_completions import MOST_REPLIES, CreateCompletion
from afina.serving.bases import Base
from afina.serving.requests import sampling

DEFAULT_TOKENS = 16
MOST_SCORED = 65_536  # tokens of prompts that are given back with their log-probabilities: each has an entry
WITHOUT_SUFFIX = "this model cannot be told of a suffix: the reply ends where the suffix begins"


@dataclass(frozen=True)
class Text:
    """One prompt: its ids, how many of them stand before its text, and the text's length in characters."""

    ids: list[int]
    hidden: int
    length: int


@dataclass(frozen=True)
class AskedText:
    """What a host is asked, and what it takes to read its reply; `n` of `candidates` are answered for each prompt."""

    completion: CompletionRequest
    texts: list[Text]
    n: int
    candidates: int
    alternatives: int | None


def prepare(request: CreateCompletion, base: Base, *, model: str, bias: Mapping[str, float]) -> AskedText:
    """Check a request and write its prompts as ids; everything that can be refused is refused here."""
    n, candidates = replies(request)
    texts = prompts(request, base)
    if len(texts) * candidates > MOST_REPLIES:
        raise refusal("prompt", f"at most {MOST_REPLIES} replies can be asked for at once, over all prompts")
    check_lengths(request, texts, base)
    logprobs = request.logprobs if candidates == n else request.logprobs or 0
    ids = [text.ids for text in texts]
    found = sampling(request, ids, model=model, max_tokens=wanted(request), bias=bias)
    completion = found.model_copy(
        update={
            "n": candidates,
            "stop": [*found.stop, *([request.suffix] if request.suffix else [])],
            "logprobs": logprobs,
            "return_tokens_as_token_ids": True,
            "echo": bool(request.echo),
        }
    )
    return AskedText(completion, texts, n, candidates, request.logprobs)


def replies(request: CreateCompletion) -> tuple[int, int]:
    """How many replies a prompt gets, and of how many they are the best; 0 is the same as left out."""
    n = request.n or 1
    best_of = request.best_of or n
    if best_of < n:
        raise refusal("best_of", f"it must be at least 'n', which is {n}")
    if best_of > n and request.stream:
        raise refusal(
            "best_of", "the best of several replies is known when all are whole; leave out 'stream'"
        )
    return n, best_of


def prompts(request: CreateCompletion, base: Base) -> list[Text]:
    """The prompts as ids, in their order."""
    match request.prompt:
        case None | str():
            return [written(request.prompt or "", base)]
        case [str(), *_]:
            return [written(text, base) for text in request.prompt]
        case [int(), *_]:
            return [given(request.prompt, base)]
        case _:
            return [given(ids, base) for ids in request.prompt if isinstance(ids, list)]


def written(text: str, base: Base) -> Text:
    """A text begins a document."""
    ids = base.renderer.document(text)
    if not ids:
        raise refusal(
            "prompt", "it is empty, and this model knows no beginning of a document; write something"
        )
    return Text(ids, len(base.renderer.beginning) if text else 0, len(text))


def given(ids: list[int], base: Base) -> Text:
    """Ids stand as they are."""
    size = base.renderer.vocab_size
    if max(ids) >= size:
        raise refusal("prompt", f"token ids are whole numbers from 0 to {size - 1}")
    return Text(ids, 0, len(base.renderer.decode(ids)))


def check_lengths(request: CreateCompletion, texts: list[Text], base: Base) -> None:
    """Prompt and reply share the context; 400 names all three lengths."""
    longest, tokens = max(len(text.ids) for text in texts), wanted(request)
    if longest + tokens > base.context:
        message = (
            f"This model's maximum context length is {base.context} tokens, however you requested "
            f"{longest + tokens} tokens ({longest} in your prompt; {tokens} for the completion). "
            "Please reduce your prompt; or completion length."
        )
        raise InvalidRequest(message, param="prompt", code="context_length_exceeded")
    if request.echo and request.logprobs is not None and sum(len(t.ids) for t in texts) > MOST_SCORED:
        why = f"at most {MOST_SCORED} tokens can be given back with 'logprobs' at once"
        raise refusal("prompt", f"{why}; send the prompts in several requests")


def wanted(request: CreateCompletion) -> int:
    """The longest reply, in tokens."""
    return DEFAULT_TOKENS if request.max_tokens is None else request.max_tokens


def refusal(param: str, why: str) -> InvalidRequest:
    """A 400 that names the parameter."""
    return InvalidRequest(f"Invalid '{param}': {why}.", param=param, code="invalid_value")
