"""From the lines of a checked file to rows of training; the last place where an example has a number."""

from collections.abc import Callable, Iterable, Iterator, Mapping

from afina.data import preference_format, reinforcement_format
from afina.data.jsonl import Line
from afina.data.messages import Conversation, conversation
from afina.data.render import Rendered, Renderer
from afina.data.report import FileKind, Format, Notice, Problem, format_error
from afina.data.strict_json import JsonObject
from afina.errors import DataError, InvalidRequest


def rendered(
    lines: Iterable[Line | Problem | Notice],
    renderer: Renderer,
    *,
    file: FileKind = "training",
    format: Format = "chat",
) -> Iterator[list[Rendered]]:
    """The rows of each example, in the file's order; `DataError` names one that cannot be rendered.

    A preference has three: its prompt, and what either answer adds to it. What reinforcement tries out is a prompt.
    """
    rows_of = _ROWS[format]
    for line in lines:
        if isinstance(line, Problem):
            raise format_error(file, line)
        if isinstance(line, Line):
            try:
                yield rows_of(line.value, renderer)
            except DataError as error:
                message = f"Example {line.number}: {error.message}"
                problem = Problem(line=line.number, field="messages", message=message, cure=error.cure)
                raise format_error(file, problem) from None


def _chat(row: JsonObject, renderer: Renderer) -> list[Rendered]:
    talk = conversation(row)
    return renderer.example(talk.messages, talk.tools)


def _preference(row: JsonObject, renderer: Renderer) -> list[Rendered]:
    talk, *answered = preference_format.conversations(row)
    rows = [_prompt(talk, renderer)]
    prompt = rows[0].ids
    for answer in answered:
        whole = renderer.example(answer.messages, answer.tools)
        if len(whole) != 1 or whole[0].ids[: len(prompt)] != prompt:
            raise DataError(
                "the base model's template writes the prompt differently once several messages answer it",
                cure="give each output a single message, or choose another base model",
            )
        rows.append(Rendered(whole[0].ids[len(prompt) :], whole[0].weights[len(prompt) :]))
    return rows


def _reinforcement(row: JsonObject, renderer: Renderer) -> list[Rendered]:
    return [_prompt(reinforcement_format.prompt(row), renderer)]


def _prompt(talk: Conversation, renderer: Renderer) -> Rendered:
    """What an answer follows, of which nothing is trained."""
    try:
        ids = renderer.prompt(talk.messages, talk.tools)
    except InvalidRequest as error:
        raise DataError(error.message, cure="choose another base model or rewrite the example") from None
    return Rendered(ids, [0] * len(ids))


_ROWS: Mapping[Format, Callable[[JsonObject, Renderer], list[Rendered]]] = {
    "chat": _chat,
    "preference": _preference,
    "reinforcement": _reinforcement,
}
