"""What serving asks of a host: the part of vLLM's completions server that we use, so that one client fits both."""

from typing import Annotated, Literal

from pydantic import Field

from afina.schemas.record import Record, Request

Finish = Literal["stop", "length"]


class StreamOptions(Request):
    """`include_usage` asks for a last chunk without choices that carries the usage."""

    include_usage: bool = False


class CompletionRequest(Request):
    """`prompt` holds token ids; `model` names the base or a loaded adapter; `seed` None: a fresh one."""

    model: str
    prompt: Annotated[list[int], Field(min_length=1)]
    max_tokens: Annotated[int, Field(ge=0)] = 16
    temperature: Annotated[float, Field(ge=0, le=2)] = 1.0
    top_p: Annotated[float, Field(gt=0, le=1)] = 1.0
    n: Annotated[int, Field(ge=1, le=128)] = 1
    seed: int | None = None
    stop: list[Annotated[str, Field(min_length=1)]] = []
    stop_token_ids: list[int] = []
    logprobs: Annotated[int, Field(ge=0, le=20)] | None = None
    stream: bool = False
    stream_options: StreamOptions = StreamOptions()


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
    """One entry a token; `top_logprobs` has as many alternatives as were asked for."""

    tokens: list[str]
    token_logprobs: list[float]
    top_logprobs: list[dict[str, float]]


class CompletionChoice(Record):
    """In a stream: what is new since the last chunk of this index."""

    index: int
    text: str
    finish_reason: Finish | None = None
    token_ids: list[int] = []
    logprobs: CompletionLogprobs | None = None


class CompletionUsage(Record):
    """Prompt tokens are counted once, whatever `n` is."""

    prompt_tokens: int
    completion_tokens: int
    total_tokens: int


class Completion(Record):
    """A whole reply, or one chunk of a stream."""

    object: Literal["text_completion"] = "text_completion"
    model: str
    choices: list[CompletionChoice]
    usage: CompletionUsage | None = None
