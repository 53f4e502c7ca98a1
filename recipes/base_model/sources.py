"""The public data files the base model learns from, read as conversations and plain documents."""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

# Only training splits: what is measured, held out for others or marked for evaluation is not here.
TRAIN_FILES = {
    "medquad": "medquad_train.jsonl",
    "pubmedqa": "pubmedqa_train.jsonl",
    "mts_dialog": "mts_dialog_train.jsonl",
    "aci_bench": "aci_bench_train_long.jsonl",
    "gsm8k": "gsm8k_train.jsonl",
    "self_instruct": "self_instruct_human_written.jsonl",
    "rasbt": "rasbt_instruction_sft.jsonl",
    "toolcall": "toolcall_stock_train.jsonl",
    "casimedicos_en": "casimedicos_en_train.jsonl",
    "casimedicos_es": "casimedicos_es_train.jsonl",
    "meddocan_es": "meddocan_es_train.jsonl",
}
HELD_OUT_FILES = {"medquad": "medquad_valid.jsonl", "casimedicos_es": "casimedicos_es_valid.jsonl"}
SHOWN_FILE = "medquad_valid_short.jsonl"  # the card shows answers to its first questions


@dataclass(frozen=True)
class Document:
    """A conversation to be rendered by the chat template, or a plain text without turns."""

    messages: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])
    tools: list[dict[str, Any]] | None = None
    text: str = ""


class DataMissing(Exception):
    """The folder of public data lacks files; the message lists them."""


def check(data: Path) -> None:
    """Raise DataMissing unless every file the recipe reads is there."""
    names = [*TRAIN_FILES.values(), *HELD_OUT_FILES.values(), SHOWN_FILE]
    missing = [name for name in names if not (data / "dev" / name).is_file()]
    if missing:
        raise DataMissing(
            f"{data} lacks {len(missing)} of {len(names)} files under dev/: {', '.join(missing)}. "
            "Name the folder that holds them with --data; recipes/base_model/README.md says what they are."
        )


def read(path: Path) -> Iterator[Document]:
    """Yield the documents of one JSONL file: rows with messages, or rows with text."""
    with path.open(encoding="utf-8") as lines:
        for line in lines:
            row = json.loads(line)
            if "messages" in row:
                yield Document(messages=row["messages"], tools=row.get("tools"))
            else:
                yield Document(text=row["text"])
