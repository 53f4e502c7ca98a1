"""The items of a run, wherever they come from: a request, a file, chats or responses that were kept."""

from collections.abc import Iterator

from afina.data.jsonl import Line, read_lines
from afina.data.report import Problem
from afina.errors import CorruptBlob, DataError, InvalidRequest, clipped
from afina.evals import samples
from afina.evals.data_sources import fault
from afina.schemas.chat_messages import JsonObject
from afina.schemas.eval_runs import EvalRun, FileContent, FileId, Row, StoredChats, StoredResponses
from afina.schemas.evals import CustomSource, Eval
from afina.schemas.files import FileObject
from afina.schemas.response_replies import StoredResponse
from afina.schemas.stored_chats import StoredChat
from afina.schemas.wording import validated
from afina.store import chats, files, responses
from afina.store.scope import Scope
from afina.worker.context import Context

MOST_BYTES = 200 * 1024 * 1024
MOST_ITEMS = 50_000
AT_ONCE = 100  # of what was kept

Found = tuple[JsonObject, JsonObject | None]  # an item, and the sample that it brings along


def found(context: Context, eval: Eval, run: EvalRun) -> Iterator[Found]:
    """All items in their order; DataError where they are not what the run takes."""
    count = 0
    for item in sourced(context, eval, run):
        count += 1
        if count > MOST_ITEMS:
            raise unfit(f"there are more than {MOST_ITEMS} items", cure="split them into several runs")
        yield item
    if not count:
        raise unfit("there are no items", cure="look at the filters of the data source")


def sourced(context: Context, eval: Eval, run: EvalRun) -> Iterator[Found]:
    """The items of any source; rows of a request were looked at when it came."""
    source, config = run.data_source.source, eval.data_source_config
    carried = {} if isinstance(config, CustomSource) else config.metadata or {}
    match source:
        case FileContent():
            yield from ((row.item, row.sample) for row in source.content)
        case FileId():
            yield from ((row.item, row.sample) for row in read(context, eval, run, source))
        case StoredChats():
            yield from kept_chats(context, run, source, {**carried, **(source.metadata or {})})
        case StoredResponses():
            yield from kept_responses(context, run, source, {**carried, **(source.metadata or {})})


def read(context: Context, eval: Eval, run: EvalRun, source: FileId) -> Iterator[Row]:
    """The rows of a file; the first one that is wrong is named by its line."""
    file = whole_file(context, run, source)
    for line in read_lines(context.blobs.read(file.blob)):
        if isinstance(line, Problem):
            raise unfit(line.message, cure=line.cure, line=line.line)
        if isinstance(line, Line):
            try:
                row = validated(Row, line.value)
            except InvalidRequest as error:
                raise unfit(f"Line {line.number}: {error.message}", line=line.number) from None
            if why := fault(row, run.data_source, eval.data_source_config.item_schema):
                raise unfit(f"Line {line.number}: {why}", line=line.number)
            yield row


def whole_file(context: Context, run: EvalRun, source: FileId) -> FileObject:
    """The file, when it is still there, short enough, and as it was uploaded."""
    with context.database.read(run.project_id) as scope:
        file = files.find(scope, source.id)
    if file is None:
        raise unfit(f"the file {clipped(source.id)} is not there any more", cure="upload it again")
    if file.bytes > MOST_BYTES:
        raise unfit(f"the file is larger than {MOST_BYTES // 1024**2} MB", cure="split it into several runs")
    try:
        context.blobs.verify(file.blob, file.sha256)
    except CorruptBlob as error:
        raise unfit(error.message) from None
    return file


def kept_chats(
    context: Context, run: EvalRun, source: StoredChats, metadata: dict[str, str]
) -> Iterator[Found]:
    """Chats with what they were answered, oldest first; none that came after the run was asked for."""
    last, left = None, source.limit or MOST_ITEMS + 1
    while True:
        with context.database.read(run.project_id) as scope:
            page = chats.page(scope, after=last, limit=AT_ONCE, model=source.model, metadata=metadata)
        for chat in page.data:
            if left and within(chat.created, run, source):
                left -= 1
                yield of_chat(chat)
        if not page.has_more or not left:
            return
        last = page.last_id


def of_chat(chat: StoredChat) -> Found:
    """What was asked as the item, and what was answered as its sample."""
    message = chat.completion.choices[0].message.model_dump(mode="json", exclude_none=True)
    item: JsonObject = {"input": [*chat.said], "output": [message], "metadata": {**(chat.metadata or {})}}
    return item, samples.of_reply(chat.completion)


def kept_responses(
    context: Context, run: EvalRun, source: StoredResponses, metadata: dict[str, str]
) -> Iterator[Found]:
    """Responses that have come to their end, oldest first."""
    last = 0
    while True:
        with context.database.read(run.project_id) as scope:
            some = responses.completed(scope, after=last, limit=AT_ONCE)
            items = [
                of_response(scope, stored)
                for _, stored in some
                if fits(stored, source, metadata) and within(stored.response.created_at, run, source)
            ]
        yield from items  # behind the transaction: whoever takes them writes
        if len(some) < AT_ONCE:
            return
        last = some[-1][0]


def fits(stored: StoredResponse, source: StoredResponses, metadata: dict[str, str]) -> bool:
    """Whether a response has all that the source names."""
    response = stored.response
    tools = {tool.name for tool in response.tools}
    named = (
        (source.model, response.model),
        (source.temperature, response.temperature),
        (source.top_p, response.top_p),
        (source.reasoning_effort, response.reasoning.effort),
    )
    return (
        all(wanted is None or wanted == had for wanted, had in named)
        and (source.instructions_search or "") in (response.instructions or "")
        and metadata.items() <= response.metadata.items()
        and set(source.tools or []) <= tools
        and (not source.users or response.user in source.users)
    )


def of_response(scope: Scope, stored: StoredResponse) -> Found:
    """What was said before as the item, with its instructions, and what was answered as its sample."""
    response = stored.response
    try:
        before = responses.history(scope, stored.previous_response_id)
    except InvalidRequest:  # a part of it is gone
        before = []
    said = [each.model_dump(mode="json") for each in (*before, *stored.input)]
    if response.instructions:
        said.insert(0, {"type": "message", "role": "developer", "content": response.instructions})
    output = [each.model_dump(mode="json") for each in response.output]
    item: JsonObject = {"input": [*said], "output": [*output], "metadata": {**response.metadata}}
    return item, of_output(response.model, output)


def of_output(model: str, output: list[JsonObject]) -> JsonObject:
    """The sample of a response: its texts together, and its calls."""
    parts = (part for each in output if isinstance(found := each.get("content"), list) for part in found)
    texts = (part.get("text") for part in parts if isinstance(part, dict))
    calls = [each for each in output if each["type"] == "function_call"]
    text = "".join(text for text in texts if isinstance(text, str))
    return {"model": model, "output_text": text, "output_tools": [*calls], "output": [*output]}


def within(moment: int, run: EvalRun, source: StoredChats | StoredResponses) -> bool:
    """Whether something was kept in the time that is meant; both ends belong to it."""
    least = source.created_after or 0
    most = run.created_at if source.created_before is None else min(run.created_at, source.created_before)
    return least <= moment <= most


def unfit(message: str, *, cure: str = "", line: int | None = None) -> DataError:
    """Why there can be no run of these data."""
    text = f"The run failed due to invalid data. {message}{f': {cure}' if cure else ''}."
    return DataError(text, line=line, cure=cure, param="data_source.source", code="invalid_data_source")
