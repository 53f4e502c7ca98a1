"""Batches: many requests in a file, answered in their own time into another file."""

from typing import Annotated, Literal

from pydantic import Field

from afina.schemas.bounds import Metadata
from afina.schemas.chat import JsonObject
from afina.schemas.files import ExpiresAfter
from afina.schemas.record import Record, Request, internal
from afina.schemas.tokens import TokenUsage

Endpoint = Literal[
    "/v1/responses", "/v1/chat/completions", "/v1/embeddings", "/v1/completions", "/v1/moderations"
]
BatchStatus = Literal[
    "validating",
    "failed",
    "in_progress",
    "finalizing",
    "completed",
    "expired",
    "cancelling",
    "cancelled",
]
FINAL: frozenset[BatchStatus] = frozenset({"completed", "failed", "expired", "cancelled"})

WINDOW_SECONDS = 24 * 3600


class CreateBatch(Request):
    """What is to be answered, by which endpoint."""

    input_file_id: str
    endpoint: Endpoint
    completion_window: Literal["24h"]
    metadata: Metadata | None = None
    output_expires_after: ExpiresAfter | None = None


class BatchRequest(Request):
    """One line of an input file."""

    custom_id: Annotated[str, Field(min_length=1, max_length=512)]
    method: Literal["POST"]
    url: str
    body: JsonObject


class BatchError(Record):
    """Why a batch failed; `line` is one of the input file's, where it is about one."""

    code: str
    message: str
    param: str | None = None
    line: int | None = None


class BatchErrors(Record):
    """The first of what was found."""

    object: Literal["list"] = "list"
    data: list[BatchError]


class RequestCounts(Record):
    """How many requests a batch has, and how many of them were answered or refused."""

    total: int = 0
    completed: int = 0
    failed: int = 0

    @property
    def open(self) -> int:
        """How many have no result yet."""
        return self.total - self.completed - self.failed


class Batch(Record):
    """A batch, with the moment of each of its statuses."""

    id: str
    object: Literal["batch"] = "batch"
    endpoint: Endpoint
    model: str | None = None
    errors: BatchErrors | None = None
    input_file_id: str
    completion_window: Literal["24h"] = "24h"
    status: BatchStatus = "validating"
    output_file_id: str | None = None
    error_file_id: str | None = None
    created_at: int
    in_progress_at: int | None = None
    expires_at: int
    finalizing_at: int | None = None
    completed_at: int | None = None
    failed_at: int | None = None
    expired_at: int | None = None
    cancelling_at: int | None = None
    cancelled_at: int | None = None
    request_counts: RequestCounts = RequestCounts()
    usage: TokenUsage = TokenUsage()
    metadata: dict[str, str] | None = None
    project_id: str = internal("")
    output_expires_after: int | None = internal()


class BatchReply(Record):
    """What a request was answered with; `body` holds the error where the status is not 200."""

    status_code: int
    request_id: str
    body: JsonObject


class RequestError(Record):
    """Why a request was never answered."""

    code: str
    message: str


class BatchResult(Record):
    """One line of an output or error file."""

    id: str
    custom_id: str
    response: BatchReply | None
    error: RequestError | None = None

    @property
    def good(self) -> bool:
        """Whether it belongs into the output file."""
        return self.response is not None and self.response.status_code == 200
