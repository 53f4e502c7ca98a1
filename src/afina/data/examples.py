"""From the lines of a checked file to rows of training; the last place where an example has a number."""

from collections.abc import Iterable, Iterator

from afina.data.jsonl import Line
from afina.data.messages import conversation
from afina.data.render import Rendered, Renderer
from afina.data.report import FileKind, Notice, Problem, format_error
from afina.errors import DataError


def rendered(
    lines: Iterable[Line | Problem | Notice], renderer: Renderer, *, file: FileKind = "training"
) -> Iterator[list[Rendered]]:
    """The rows of each example, in the file's order; `DataError` names one that cannot be rendered."""
    for line in lines:
        if isinstance(line, Problem):
            raise format_error(file, line)
        if isinstance(line, Line):
            yield _rows(line, renderer, file)


def _rows(line: Line, renderer: Renderer, file: FileKind) -> list[Rendered]:
    talk = conversation(line.value)
    try:
        return renderer.example(talk.messages, talk.tools)
    except DataError as error:
        message = f"Example {line.number}: {error.message}"
        problem = Problem(line=line.number, field="messages", message=message, cure=error.cure)
        raise format_error(file, problem) from None
