"""A batch's input file: one request a line."""

from collections.abc import Iterator
from dataclasses import dataclass

from afina.data.jsonl import Line, read_lines
from afina.data.report import Problem
from afina.errors import CorruptBlob, InvalidRequest
from afina.schemas.batches import Batch, BatchError, BatchRequest
from afina.schemas.wording import validated
from afina.store import files
from afina.worker.context import Context

MAX_BYTES = 200 * 1024 * 1024
MAX_REQUESTS = 50_000
TOLD = 20  # of what is wrong


@dataclass(frozen=True)
class Numbered:
    """A request and the line it stands on."""

    line: int
    request: BatchRequest


@dataclass(frozen=True)
class Checked:
    """A whole input file: how many requests it holds, the first one's model, and what is wrong."""

    total: int
    model: str | None
    errors: list[BatchError]


def requests(context: Context, batch: Batch) -> Iterator[Numbered | BatchError]:
    """The file's requests and, in their places, what is wrong with other lines."""
    with context.database.read(batch.project_id) as scope:
        blob = files.get(scope, batch.input_file_id).blob
    for found in read_lines(context.blobs.read(blob)):
        if isinstance(found, Problem):
            text = f"This line is not parseable as valid JSON. {found.message}: {found.cure}."
            yield BatchError(code="invalid_json_line", message=text, line=found.line)
        elif isinstance(found, Line):
            yield read(batch, found)


def read(batch: Batch, line: Line) -> Numbered | BatchError:
    """One line as a request to the batch's endpoint."""
    try:
        request = validated(BatchRequest, line.value)
    except InvalidRequest as error:
        code = error.code or "invalid_request"
        return BatchError(code=code, message=error.message, param=error.param, line=line.number)
    if request.url != batch.endpoint:
        text = "The URL provided for this request does not match the batch endpoint."
        return BatchError(code="mismatched_endpoint", message=text, param="url", line=line.number)
    return Numbered(line.number, request)


def check(context: Context, batch: Batch) -> Checked:
    """Read the whole file; every id must be its line's alone."""
    if (refused := refusal(context, batch)) is not None:
        return Checked(0, None, [refused])
    errors: list[BatchError] = []
    seen: set[str] = set()
    model = None
    for found in requests(context, batch):
        if isinstance(found, BatchError):
            errors.append(found)
        elif found.request.custom_id in seen:
            errors.append(duplicate(found.line))
        else:
            model = model or model_of(found.request)
            seen.add(found.request.custom_id)
        if len(errors) >= TOLD or len(seen) > MAX_REQUESTS:
            break
    if len(seen) > MAX_REQUESTS:
        text = f"The batch input file has more than {MAX_REQUESTS} requests. Split it into several batches."
        errors.append(BatchError(code="too_many_requests", message=text))
    if not seen and not errors:
        errors.append(BatchError(code="empty_file", message="The batch input file has no requests."))
    return Checked(len(seen), model, errors)


def refusal(context: Context, batch: Batch) -> BatchError | None:
    """Why a file's lines are not even looked at."""
    with context.database.read(batch.project_id) as scope:
        file = files.get(scope, batch.input_file_id)
    if file.bytes > MAX_BYTES:
        text = (
            f"The batch input file is larger than {MAX_BYTES // 1024**2} MB. Split it into several batches."
        )
        return BatchError(code="file_too_large", message=text)
    try:
        context.blobs.verify(file.blob, file.sha256)
    except CorruptBlob as error:
        return BatchError(code="file_corrupt", message=error.message)
    return None


def duplicate(line: int) -> BatchError:
    """Two requests with one id could not be told apart in the output."""
    text = "The custom_id of this request is that of an earlier one. It must be unique within a batch."
    return BatchError(code="duplicate_custom_id", message=text, param="custom_id", line=line)


def model_of(request: BatchRequest) -> str | None:
    """The model that a request names."""
    model = request.body.get("model")
    return model if isinstance(model, str) else None
