"""What the grader knows of each example: a file of JSON lines beside the token file, in the order of its rows."""

import json
from collections.abc import Iterable
from pathlib import Path

from afina import ids
from afina.blobs import sync_folder
from afina.data import reinforcement_format
from afina.data.jsonl import Line
from afina.data.report import Notice, Problem
from afina.data.strict_json import JsonObject


def beside(token_file: Path) -> Path:
    """Where the items of a token file lie."""
    return token_file.with_suffix(".items.jsonl")


def write(path: Path, lines: Iterable[Line | Problem | Notice]) -> None:
    """The items of a checked file's lines, whole or not at all; they are there before the tokens are."""
    made = path.with_name(f"{ids.random_text(8)}.making")
    with made.open("w", encoding="utf-8") as file:
        for line in lines:
            if isinstance(line, Line):
                file.write(json.dumps(reinforcement_format.item(line.value)) + "\n")
    made.replace(path)
    sync_folder(path.parent)


def read(path: Path) -> list[JsonObject]:
    """All items; they are as large as the uploaded file at most."""
    return [json.loads(line) for line in path.read_bytes().splitlines()]
