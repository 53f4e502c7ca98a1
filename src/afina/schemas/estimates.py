"""What a job would be: its tokens and steps, exactly, and its time and price, as far as they can be told."""

from typing import Literal

from afina.schemas.record import Record


class ListPrice(Record):
    """What OpenAI asked for training on a model, in US dollars for a million tokens, on the day `as_of`."""

    model: str
    usd_per_million: float
    as_of: str
    source: str


class Estimate(Record):
    """The reply to `POST /v1/afina/estimates`, whose body is that of a job.

    `trained_tokens` is exact. `memory_bytes` is what the run takes, by the sizes of the model. `seconds` is
    [least, most] by the speeds of `finished_jobs` jobs on the same base, and None without one. `openai_usd` is
    `openai`'s price for these tokens, None where no model of OpenAI's was named.
    """

    object: Literal["afina.estimate"] = "afina.estimate"
    model: str
    examples: int
    truncated: int
    tokens_per_epoch: int
    n_epochs: int
    batch_size: int
    steps: int
    trained_tokens: int
    memory_bytes: int
    seconds: tuple[int, int] | None
    finished_jobs: int
    openai_usd: float | None
    openai: ListPrice | None
