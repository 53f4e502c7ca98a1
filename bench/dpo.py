"""Preference optimisation against TRL: at its defaults, and at its best in each precision.

Both sides run three epochs by default. Our run asks the reference once for all of them, so a third of what that took
is part of our steps. At its best the peer knows the reference's answers before it begins, and neither side's asking
counts.

The gate has shorter answers. The peer sums log-probabilities in float32, where a sum of 1,800 nats, as random weights
give to a usual answer, is rounded by up to 6e-5: four of them are seen in the fifth digit of the loss.
"""

from typing import get_args

from bench.contest import against_trl
from bench.options import Options
from bench.record import Json
from bench.rows import Duel, Talk
from bench.variants import Best, Dtype, Variant

DUEL = Duel()
GATE = Duel(answer=Talk(median=30, p95=60, longest=64, supervised=1.0))


def measure(options: Options) -> dict[str, Json]:
    """The figures of `dpo`."""
    bests = {dtype: best(dtype) for dtype in get_args(Dtype)}
    return against_trl(options, DUEL, bests, trainer="DPOTrainer", gate_work=GATE)


def best(dtype: Dtype) -> Best:
    """DPOTrainer knows rectangles only: since its 1.16 `padding_free` falls back to padding, and it does not pack."""
    name = f"{dtype} weights, sorted, references known"
    return Best(
        Variant(name, dtype, references=True), "no checkpoints, nearly no padding, no reference model"
    )
