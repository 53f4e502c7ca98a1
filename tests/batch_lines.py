"""Lines of a batch's input file, and what became of them."""

import json

from afina.schemas.batches import Batch

URL = "/v1/chat/completions"


def line(name: str, **fields: object) -> bytes:
    row = {"custom_id": name, "method": "POST", "url": URL, "body": {"text": name, "model": "tiny"}}
    return json.dumps(row | fields).encode() + b"\n"


def lines(count: int) -> bytes:
    return b"".join(line(f"r{number}") for number in range(count))


def counts(batch: Batch) -> tuple[int, int, int]:
    found = batch.request_counts
    return found.total, found.completed, found.failed
