"""Whether one text is, or contains, another."""

from collections.abc import Callable, Mapping
from typing import Literal

Operation = Literal["eq", "ne", "like", "ilike"]
OPERATIONS: Mapping[Operation, Callable[[str, str], bool]] = {
    "eq": lambda text, reference: text == reference,
    "ne": lambda text, reference: text != reference,
    "like": lambda text, reference: reference in text,
    "ilike": lambda text, reference: reference.casefold() in text.casefold(),
}


def check(operation: Operation, text: str, reference: str) -> float:
    """1 where the comparison holds, 0 where it does not; there are no wildcards."""
    return float(OPERATIONS[operation](text, reference))
