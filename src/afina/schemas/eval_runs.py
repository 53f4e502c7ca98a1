"""Runs of evals: where their items come from, how those are answered, and what came of it."""

from typing import Annotated, Literal

from pydantic import ConfigDict, Field, SerializerFunctionWrapHandler, model_serializer

from afina.schemas.bounds import Metadata
from afina.schemas.chat import FunctionTool, ResponseFormat
from afina.schemas.chat_messages import JsonObject
from afina.schemas.graders import Echoed, Messages
from afina.schemas.record import Record, Request, internal
from afina.schemas.responses import TextConfig, Tool

RunStatus = Literal["queued", "in_progress", "completed", "canceled", "failed"]
FINAL: frozenset[RunStatus] = frozenset({"completed", "canceled", "failed"})
ItemStatus = Literal["pass", "fail", "error"]
Effort = Literal["none", "minimal", "low", "medium", "high", "xhigh", "max"]
Name = Annotated[str, Field(max_length=256)]
ModelName = Annotated[str, Field(min_length=1, max_length=256)]


class Row(Echoed):
    """An item and, where it was answered elsewhere, its sample."""

    item: JsonObject
    sample: JsonObject | None = None


class FileContent(Echoed):
    """Rows in the request itself."""

    type: Literal["file_content"]
    content: Annotated[list[Row], Field(min_length=1)]


class FileId(Echoed):
    """Rows in a file whose purpose is `evals`."""

    type: Literal["file_id"]
    id: str


class StoredChats(Echoed):
    """Chats that were kept, oldest first."""

    type: Literal["stored_completions"]
    created_after: int | None = None
    created_before: int | None = None
    limit: Annotated[int, Field(ge=1)] | None = None
    metadata: Metadata | None = None
    model: str | None = None


class StoredResponses(Echoed):
    """Responses that were kept, oldest first; what is named here has to be as the response has it."""

    type: Literal["responses"]
    created_after: int | None = None
    created_before: int | None = None
    instructions_search: str | None = None
    metadata: Metadata | None = None
    model: str | None = None
    reasoning_effort: Effort | None = None
    temperature: float | None = None
    tools: list[str] | None = None
    top_p: float | None = None
    users: list[str] | None = None


class MessageTemplate(Echoed):
    """Messages with paths into the item."""

    type: Literal["template"]
    template: Messages


class ItemReference(Echoed):
    """A path to the messages that an item brings along, such as `item.input`."""

    type: Literal["item_reference"]
    item_reference: str


InputMessages = Annotated[MessageTemplate | ItemReference, Field(discriminator="type")]


class Sampling(Echoed):
    """How items are answered."""

    max_completion_tokens: Annotated[int, Field(ge=1)] | None = None
    reasoning_effort: Effort | None = None
    seed: int | None = None
    temperature: Annotated[float, Field(ge=0, le=2)] | None = None
    top_p: Annotated[float, Field(ge=0, le=1)] | None = None


class ChatSampling(Sampling):
    """In the words of chat."""

    response_format: ResponseFormat | None = None
    tools: Annotated[list[FunctionTool], Field(max_length=128)] | None = None


class ResponseSampling(Sampling):
    """In the words of responses."""

    text: TextConfig | None = None
    tools: Annotated[list[Tool], Field(max_length=128)] | None = None


class JsonlSource(Echoed):
    """Rows that are graded as they are."""

    type: Literal["jsonl"]
    source: Annotated[FileContent | FileId, Field(discriminator="type")]


class CompletionsSource(Echoed):
    """Items that a model answers in a chat, or did answer in one."""

    type: Literal["completions"]
    source: Annotated[FileContent | FileId | StoredChats, Field(discriminator="type")]
    input_messages: InputMessages | None = None
    model: ModelName | None = None
    sampling_params: ChatSampling | None = None


class ResponsesSource(Echoed):
    """Items that a model answers by a response, or did answer by one."""

    type: Literal["responses"]
    source: Annotated[FileContent | FileId | StoredResponses, Field(discriminator="type")]
    input_messages: InputMessages | None = None
    model: ModelName | None = None
    sampling_params: ResponseSampling | None = None


AskingSource = CompletionsSource | ResponsesSource
DataSource = Annotated[JsonlSource | CompletionsSource | ResponsesSource, Field(discriminator="type")]


class CreateRun(Request):
    """The body of `POST /evals/{eval_id}/runs`."""

    data_source: DataSource
    name: Name | None = None
    metadata: Metadata | None = None


class EvalError(Record):
    """What went wrong; both texts are empty where nothing did, because clients' types want an object here."""

    code: str = ""
    message: str = ""


class ResultCounts(Record):
    """How many items there are, and what became of them."""

    total: int = 0
    passed: int = 0
    failed: int = 0
    errored: int = 0

    @property
    def open(self) -> int:
        """How many have no result yet."""
        return self.total - self.passed - self.failed - self.errored


class CriterionCounts(Record):
    """How many items passed one criterion; where it could not be computed, an item did neither."""

    testing_criteria: str
    passed: int = 0
    failed: int = 0


class TokenUsage(Record):
    """The tokens of one answer."""

    prompt_tokens: int = 0
    completion_tokens: int = 0
    cached_tokens: int = 0
    total_tokens: int = 0


class ModelUsage(TokenUsage):
    """The tokens of one model in a run, whether it answered or graded."""

    model_name: str
    invocation_count: int = 0


class EvalRun(Record):
    """A run of an eval."""

    model_config = ConfigDict(serialize_by_alias=True)

    id: str
    object: Literal["eval.run"] = "eval.run"
    eval_id: str
    created_at: int
    name: str
    model: str = ""
    status: RunStatus = "queued"
    data_source: DataSource
    report_url: str = ""
    result_counts: ResultCounts = ResultCounts()
    per_model_usage: list[ModelUsage] = []
    per_testing_criteria_results: list[CriterionCounts] = []
    error: EvalError = EvalError()
    metadata: dict[str, str] | None = None
    project_id: str = internal("")


class ItemResult(Record):
    """What one criterion says of one item; `error` is there where it could not be computed."""

    name: str
    type: str
    passed: bool
    score: float
    sample: JsonObject | None = None
    error: EvalError | None = None

    @model_serializer(mode="wrap")
    def without_absent_error(self, dump: SerializerFunctionWrapHandler) -> dict[str, object]:
        """Clients test for the key."""
        return {key: value for key, value in dump(self).items() if key != "error" or value is not None}


class SampleMessage(Record):
    """A message of a sample."""

    role: str
    content: str


class Sample(Record):
    """What a model was asked and what it said; of an item that was answered elsewhere, what its row tells."""

    model_config = ConfigDict(extra="ignore")

    input: list[SampleMessage] = []
    output: list[SampleMessage] = []
    finish_reason: str = ""
    model: str = ""
    usage: TokenUsage = TokenUsage()
    error: EvalError = EvalError()
    temperature: float = 1.0
    top_p: float = 1.0
    seed: int = 0
    max_completion_tokens: int = 0


class OutputItem(Record):
    """An item of a run, with what became of it."""

    id: str
    object: Literal["eval.run.output_item"] = "eval.run.output_item"
    created_at: int
    eval_id: str
    run_id: str
    datasource_item_id: int
    datasource_item: JsonObject
    status: ItemStatus
    results: list[ItemResult]
    sample: Sample
    project_id: str = internal("")
