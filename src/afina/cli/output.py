"""What commands print: JSON for programs on stdout alone, tables and human units for people."""

import json
import sys
import time
from collections.abc import Iterable, Sequence
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from afina.errors import AfinaError

Json = Annotated[bool, typer.Option("--json", help="Print JSON on stdout, and nothing else there.")]
Limit = Annotated[int, typer.Option("--limit", "-n", min=1, help="At most so many, newest first.")]

WIDTH_OF_A_PIPE = 200


class CommandFailed(AfinaError):
    """What stops a command; `cure` says what the person at the keyboard can do about it."""

    def __init__(
        self, message: str, *, cure: str = "", param: str | None = None, code: str | None = None
    ) -> None:
        super().__init__(message, param=param, code=code)
        self.cure = cure


def console() -> Console:
    """The person's screen; a pipe is wide, so that no id is cut."""
    return Console(highlight=False, width=None if sys.stdout.isatty() else WIDTH_OF_A_PIPE)


def aside() -> Console:
    """Where remarks go: stderr, so that stdout stays what was asked for."""
    return Console(highlight=False, stderr=True, soft_wrap=True)


def complain(error: AfinaError | OSError) -> None:
    """The one red line: what went wrong, the field and code where known, and the cure."""
    if isinstance(error, OSError):
        aside().print(f"[red]error: {escape(str(error))}[/]")
        return
    details = [f"{name}: {value}" for name, value in (("param", error.param), ("code", error.code)) if value]
    cure = error.cure if isinstance(error, CommandFailed) else ""
    line = error.message + (f" ({', '.join(details)})" if details else "") + (f" - {cure}" if cure else "")
    aside().print(f"[red]error: {escape(line)}[/]")


def emit(document: object) -> None:
    """One JSON document on one line of stdout, at once."""
    sys.stdout.write(json.dumps(document, ensure_ascii=False) + "\n")
    sys.stdout.flush()


def show_table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Rows under headings, without lines around them."""
    table = Table(box=None, header_style="bold", pad_edge=False)
    for column in columns:
        table.add_column(column, overflow="fold")
    for row in rows:
        table.add_row(*(escape(cell) for cell in row))
    console().print(table)


def show_fields(fields: Iterable[tuple[str, object]]) -> None:
    """One object: a name and a value a line; what is None is left out."""
    table = Table(box=None, show_header=False, pad_edge=False)
    table.add_column(style="dim")
    table.add_column(overflow="fold")
    for name, value in fields:
        if value is not None:
            table.add_row(name, escape(str(value)))
    console().print(table)


def size(count: float) -> str:
    """Bytes as people say them: `18.2 KB`."""
    for unit in ("B", "KB", "MB", "GB"):
        if count < 1024:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1024
    return f"{count:.1f} TB"


def span(seconds: float) -> str:
    """A length of time in its two largest units: `1 h 12 min`."""
    whole = max(0, round(seconds))
    parts = [(whole // 86400, "d"), (whole // 3600 % 24, "h"), (whole // 60 % 60, "min"), (whole % 60, "s")]
    first = next((index for index, (count, _) in enumerate(parts) if count), 3)
    return " ".join(f"{count} {unit}" for count, unit in parts[first : first + 2] if count) or "0 s"


def ago(moment: float | None, now: float | None = None) -> str:
    """When something happened, seen from now: `3 min ago`."""
    if moment is None:
        return "never"
    elapsed = (time.time() if now is None else now) - moment
    return "just now" if elapsed < 1 else f"{' '.join(span(elapsed).split()[:2])} ago"


def clock(moment: float) -> str:
    """The time of day, for lines that follow one another."""
    return time.strftime("%H:%M:%S", time.localtime(moment))
