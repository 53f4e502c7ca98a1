"""Tokens in and out, in the words of responses and of batches."""

from afina.schemas.record import Record


class InputDetails(Record):
    """A part of the input's count."""

    cached_tokens: int = 0


class OutputDetails(Record):
    """A part of the output's count."""

    reasoning_tokens: int = 0


class TokenCounts(Record):
    """All tokens."""

    input_tokens: int = 0
    output_tokens: int = 0
    output_tokens_details: OutputDetails = OutputDetails()
    total_tokens: int = 0


class TokenUsage(TokenCounts):
    """All tokens of a batch."""

    input_tokens_details: InputDetails = InputDetails()
