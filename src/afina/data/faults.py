"""What a format's checks yield: a fault within one example, not yet tied to a line of a file."""

from typing import NamedTuple


class Fault(NamedTuple):
    """`text` goes on from "Example 7, message 2" (or "Example 7") and brings its own punctuation.

    `message` counts from 1 as OpenAI does; `field` is a JSON path, whose indices count from 0.
    """

    field: str
    text: str
    cure: str
    message: int | None = None
    warning: bool = False

    def in_example(self, number: int) -> str:
        """The whole sentence."""
        place = f"Example {number}" if self.message is None else f"Example {number}, message {self.message}"
        return place + self.text
