"""Conversations that share one system prompt of 1,000 tokens, against TRL, which computes it for each of them."""

from bench import sft
from bench.options import Options
from bench.record import Json
from bench.rows import Talk

# 200 tokens of its own in each conversation, half of them the assistant's.
TALK = Talk(median=200, p95=200, longest=200, supervised=0.5, shared=1000)


def measure(options: Options) -> dict[str, Json]:
    """The figures of `prefix`: those of `sft` on these rows."""
    return sft.measure(options, TALK)
