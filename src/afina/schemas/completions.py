"""What serving asks of a host: the part of vLLM's completions server that we use, so that one client fits both."""

from typing import Annotated, Literal

from pydantic import Field

from afina.schemas.record import Record, Request
from afina.schemas.structure import StructuralTag

Finish = Literal["stop", "length"]


class StreamOptions(Request):
    """`include_usage` asks for a last chunk without choices that carries the usage."""

    include_usage: bool = False


Prompt = Annotated[list[int], Field(min_length=1)]


class CompletionRequest(Request):
    """`prompt` holds the token ids of one prompt, or of several; `model` names the base or a loaded adapter.

    `seed` None: a fresh one. `echo` puts each prompt before its answer, with `logprobs` also those of its tokens:
    with `max_tokens` 0, that is all there is. The names and defaults are vLLM's: `logit_bias` by ids, `top_k` 0 or -1
    for no limit, `return_tokens_as_token_ids` to have tokens written as `token_id:ID` among log-probabilities,
    `cache_salt` to share what prompts begin with only among those who send the same.
    """

    model: str
    prompt: Prompt | Annotated[list[Prompt], Field(min_length=1)]
    max_tokens: Annotated[int, Field(ge=0)] = 16
    temperature: Annotated[float, Field(ge=0, le=2)] = 1.0
    top_p: Annotated[float, Field(gt=0, le=1)] = 1.0
    top_k: Annotated[int, Field(ge=-1)] = 0
    min_p: Annotated[float, Field(ge=0, le=1)] = 0.0
    presence_penalty: Annotated[float, Field(ge=-2, le=2)] = 0.0
    frequency_penalty: Annotated[float, Field(ge=-2, le=2)] = 0.0
    logit_bias: dict[
        Annotated[str, Field(pattern=r"^\d{1,9}$")], Annotated[float, Field(ge=-100, le=100)]
    ] = {}
    response_format: StructuralTag | None = None
    n: Annotated[int, Field(ge=1, le=128)] = 1
    seed: int | None = None
    stop: list[Annotated[str, Field(min_length=1)]] = []
    stop_token_ids: list[int] = []
    logprobs: Annotated[int, Field(ge=0, le=20)] | None = None
    return_tokens_as_token_ids: bool = False
    echo: bool = False
    cache_salt: Annotated[str, Field(min_length=1)] | None = None
    stream: bool = False
    stream_options: StreamOptions = StreamOptions()

    @property
    def prompts(self) -> list[list[int]]:
        """The prompts, also where there is only one."""
        several = [part for part in self.prompt if isinstance(part, list)]
        return several or [[part for part in self.prompt if isinstance(part, int)]]


class LoadAdapter(Request):
    """`lora_path` is a PEFT folder on this machine; loading a loaded name again does nothing."""

    lora_name: str
    lora_path: str


class UnloadAdapter(Request):
    """Requests that still use the adapter finish first."""

    lora_name: str


class StartRun(Request):
    """`spec` is the path of a RunSpec's JSON file."""

    spec: str


class Health(Record):
    """What a host is doing: the names of its runs, and of the adapters that answer."""

    runs: list[str]
    adapters: list[str]


class CompletionLogprobs(Record):
    """One entry a token of the text; `top_logprobs` has as many alternatives as were asked for.

    In a stream an entry comes with its token's text, and none comes for a token behind a stop string.
    An echoed prompt's alternatives are followed by the token itself where it is none of them, as vLLM does it;
    its first token has nothing before it, and null in both.
    """

    tokens: list[str]
    token_logprobs: list[float | None]
    top_logprobs: list[dict[str, float] | None]


TOKEN_ID = "token_id:"


class CompletionChoice(Record):
    """In a stream: what is new since the last chunk of this index. `token_ids` are those that were made.

    The choices of prompt p are those from p * n to p * n + n - 1.
    """

    index: int
    text: str
    finish_reason: Finish | None = None
    token_ids: list[int] = []
    logprobs: CompletionLogprobs | None = None


class CachedTokens(Record):
    """How many tokens of the prompt were not computed again."""

    cached_tokens: int | None = None


class CompletionUsage(Record):
    """Prompt tokens are counted once, whatever `n` is; those from a cache, where the host says so."""

    prompt_tokens: int
    completion_tokens: int
    total_tokens: int
    prompt_tokens_details: CachedTokens | None = None

    @property
    def cached_tokens(self) -> int:
        """Tokens of the prompt from a cache; 0 where nobody says."""
        return (self.prompt_tokens_details and self.prompt_tokens_details.cached_tokens) or 0


class Completion(Record):
    """A whole reply, or one chunk of a stream."""

    object: Literal["text_completion"] = "text_completion"
    model: str
    choices: list[CompletionChoice]
    usage: CompletionUsage | None = None
