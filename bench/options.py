"""What was asked for on the command line, and how much of it there is time for."""

import os
import time
from dataclasses import dataclass
from pathlib import Path

from bench.shapes import SHAPES, Shape

MINUTE = 60.0


@dataclass(frozen=True)
class Options:
    """One call of a bench: so many pairs of each comparison, of so many timed steps a leg, within `seconds`.

    `folder` is scratch space; `begun` and all deadlines are of the monotonic clock.
    """

    shape: Shape
    quick: bool
    sweep: bool
    folder: Path
    begun: float
    pairs: int
    steps: int
    seconds: float

    @property
    def threads(self) -> int:
        """How many cores every leg computes on."""
        return os.cpu_count() or 1

    def deadline(self, share: float = 1.0) -> float:
        """When this share of the time is used up."""
        return self.begun + share * self.seconds


def options(*, shape: str, quick: bool, sweep: bool, folder: Path) -> Options:
    """The options of a call that begins now."""
    pairs, steps, minutes = (5, 3, 15) if quick else (15, 8, 240)
    begun, seconds = time.monotonic(), minutes * MINUTE
    return Options(SHAPES[shape], quick, sweep, folder, begun, pairs=pairs, steps=steps, seconds=seconds)
