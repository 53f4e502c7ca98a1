"""The conversations of a JSONL file that lies here: checked as a training file is, refused by line."""

from pathlib import Path

from afina.cli.output import CommandFailed
from afina.data import chat_format
from afina.data.jsonl import Line, read_lines
from afina.data.messages import Conversation, conversation
from afina.data.report import Problem

CHUNK = 1 << 20


def read(path: Path) -> list[Conversation]:
    """All of a file's conversations; the first line that is none ends the command."""
    found: list[Conversation] = []
    with path.open("rb") as file:
        for line in read_lines(iter(lambda: file.read(CHUNK), b"")):
            if isinstance(line, Problem):
                raise CommandFailed(f"{path}: {line.message}", cure=line.cure)
            if isinstance(line, Line):
                found.append(sound(line, path))
    if not found:
        raise CommandFailed(f"{path} holds no conversations", cure='write {"messages": [...]} on each line')
    return found


def sound(line: Line, path: Path) -> Conversation:
    """A line's conversation, once nothing is wrong with it."""
    for fault in chat_format.check(line.value):
        if not fault.warning:
            raise CommandFailed(f"{path}: {fault.in_example(line.number)}", cure=fault.cure)
    return conversation(line.value)
