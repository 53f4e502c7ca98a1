"""JSON files of a model's folder, read with suspicion: somebody else wrote them."""

import json
from pathlib import Path

from afina.data.strict_json import JsonObject, JsonValue
from afina.intake.unfit import Unfit

MOST_BYTES = 64 * 2**20


def read(path: Path, *, cure: str) -> JsonObject:
    """The JSON object in a file that has to be there."""
    if not path.is_file():
        raise Unfit(path.name, "it is not in the folder", cure=cure)
    if path.stat().st_size > MOST_BYTES:
        raise Unfit(path.name, f"it is larger than {MOST_BYTES // 2**20} MiB", cure=cure)
    return parsed(path.name, path.read_bytes(), cure=cure)


def parsed(name: str, content: bytes, *, cure: str) -> JsonObject:
    """Bytes as a JSON object."""
    try:
        found: JsonValue = json.loads(content)
    except (ValueError, RecursionError):
        raise Unfit(name, "it is not JSON", cure=cure) from None
    if not isinstance(found, dict):
        raise Unfit(name, "it is not a JSON object", cure=cure)
    return found
