"""What a run's data source has to be for its eval: checked when a run is made, and row by row as they are read."""

from time import monotonic

from afina.errors import InvalidRequest
from afina.evals.item_schema import misfit
from afina.graders import check, templates
from afina.schemas.chat_messages import JsonObject
from afina.schemas.eval_runs import (
    DataSource,
    FileContent,
    FileId,
    InputMessages,
    ItemReference,
    JsonlSource,
    MessageTemplate,
    Row,
)
from afina.schemas.evals import CustomSource, Eval

PARAM = "data_source"
MOST_SECONDS = 5.0  # for comparing all rows of a request with their schema


def check_source(source: DataSource, eval: Eval) -> None:
    """400 for a data source that this eval, or any, cannot have."""
    config, brought = eval.data_source_config, isinstance(source.source, FileContent | FileId)
    if isinstance(config, CustomSource) and not brought:
        why = "an eval whose items are custom takes them from 'file_content' or 'file_id'"
        raise refused(f"{PARAM}.source.type", why)
    if not isinstance(source, JsonlSource):
        check_messages(source.input_messages)
        if source.model is not None and source.input_messages is None and brought:
            raise missing(f"{PARAM}.input_messages")
        if source.model is None and source.input_messages is not None:
            raise missing(f"{PARAM}.model")
    if isinstance(source.source, FileContent):
        check_rows(source.source, source, config.item_schema)


def check_rows(rows: FileContent, source: DataSource, schema: JsonObject) -> None:
    """400 for the first row that is none, or for rows that keep the server busy: a client waits for them."""
    begun = monotonic()
    for place, row in enumerate(rows.content):
        if monotonic() - begun > MOST_SECONDS:
            why = "comparing it with 'item_schema' takes too long; upload the rows as a file"
            raise refused(f"{PARAM}.source.content", why)
        if why := fault(row, source, schema):
            raise refused(f"{PARAM}.source.content[{place}]", why)


def check_messages(messages: InputMessages | None) -> None:
    """Templates may look into the item: there is no sample yet."""
    match messages:
        case ItemReference():
            param = f"{PARAM}.input_messages.item_reference"
            paths = [templates.path_of(messages.item_reference, param)]
        case MessageTemplate():
            param = f"{PARAM}.input_messages.template"
            paths = [
                path
                for place, message in enumerate(messages.template)
                for text, where in check.said(message, f"{param}[{place}].content")
                for path in templates.parse(text, where).paths
            ]
        case None:
            return
    if any(path.steps[0] != "item" for path in paths):
        raise refused(param, "what a model is asked can be made of item.* only")


def fault(row: Row, source: DataSource, schema: JsonObject) -> str | None:
    """Why a row cannot be an item of this run, in words that hold nothing of it but names."""
    if why := misfit(schema, row.item):
        return why
    if not isinstance(source, JsonlSource) and source.model is None and row.sample is None:
        return f"there is no 'sample', and '{PARAM}.model' names no model that could answer"
    return None


def refused(param: str, why: str) -> InvalidRequest:
    """What is wrong with a parameter."""
    return InvalidRequest(f"Invalid '{param}': {why}.", param=param, code="invalid_value")


def missing(param: str) -> InvalidRequest:
    """What has to be said, too."""
    message = f"Missing required parameter: '{param}'."
    return InvalidRequest(message, param=param, code="missing_required_parameter")
