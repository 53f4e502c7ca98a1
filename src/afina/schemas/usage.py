"""Usage and costs of an organisation, in buckets of time."""

from typing import Generic, Literal, TypeVar

from afina.schemas.record import Record

UsageKind = Literal["completions", "embeddings", "moderations", "training"]


class Whose(Record):
    """What a sum was grouped by; null for all the rest."""

    project_id: str | None = None
    user_id: None = None
    api_key_id: str | None = None
    model: str | None = None


class CompletionsResult(Whose):
    """Tokens of chats, responses and completions."""

    object: Literal["organization.usage.completions.result"] = "organization.usage.completions.result"
    input_tokens: int
    input_cached_tokens: int
    output_tokens: int
    num_model_requests: int
    batch: bool | None = None
    service_tier: str | None = None


class EmbeddingsResult(Whose):
    """Tokens of texts that became vectors."""

    object: Literal["organization.usage.embeddings.result"] = "organization.usage.embeddings.result"
    input_tokens: int
    num_model_requests: int


class ModerationsResult(Whose):
    """Tokens of texts that were judged."""

    object: Literal["organization.usage.moderations.result"] = "organization.usage.moderations.result"
    input_tokens: int
    num_model_requests: int


class Amount(Record):
    """Money."""

    value: float
    currency: Literal["usd"] = "usd"


class CostsResult(Record):
    """What a line cost; its quantity is there where lines are told apart."""

    object: Literal["organization.costs.result"] = "organization.costs.result"
    amount: Amount
    line_item: str | None = None
    project_id: str | None = None
    api_key_id: str | None = None
    quantity: float | None = None
    quantity_unit: Literal["tokens"] | None = None


Result = TypeVar("Result", bound=Record)


class Bucket(Record, Generic[Result]):
    """A stretch of time, from its start to before its end."""

    object: Literal["bucket"] = "bucket"
    start_time: int
    end_time: int
    results: list[Result]


class BucketPage(Record, Generic[Result]):
    """Some buckets, oldest first; `next_page` is the way to those after them."""

    object: Literal["page"] = "page"
    data: list[Bucket[Result]]
    has_more: bool
    next_page: str | None
