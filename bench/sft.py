"""Supervised fine-tuning against TRL: at its defaults, and at its best in each precision."""

from typing import get_args

from bench import sweep
from bench.contest import against_trl
from bench.course import prepare
from bench.options import Options
from bench.record import Json
from bench.rows import Talk
from bench.variants import Dtype, best

TALK = Talk()


def measure(options: Options, talk: Talk = TALK) -> dict[str, Json]:
    """The figures of `sft`; with `--sweep`, which of the peer's settings are its best."""
    if options.sweep:
        return sweep.measure(options, prepare(options, options.shape, talk, name="sweep"))
    bests = {dtype: best(options.shape.name, dtype) for dtype in get_args(Dtype)}
    return against_trl(options, talk, bests, trainer="SFTTrainer")
