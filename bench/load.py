"""How much of the machine others use while we measure."""

import os
import time
from dataclasses import dataclass

import psutil


@dataclass(frozen=True)
class Mark:
    """The clock and two meters, in seconds of one core: what the machine worked, and what we did."""

    wall: float
    machine: float
    ours: float


def mark() -> Mark:
    """Read the meters. A virtual core that was given to another machine counts as work of others."""
    times = psutil.cpu_times()
    twice = times.guest + times.guest_nice  # is in the seconds of the user too
    return Mark(time.perf_counter(), sum(times) - times.idle - times.iowait - twice, tree_seconds())


def tree_seconds() -> float:
    """Seconds that this process, its descendants and those of them that have ended have computed."""
    me = psutil.Process()
    total = 0.0
    for process in (me, *me.children(recursive=True)):
        try:
            total += sum(process.cpu_times()[:4])
        except psutil.NoSuchProcess:
            continue  # It ended meanwhile: its parent has its seconds now.
    return total


def foreign(since: Mark) -> float:
    """The share of all cores' time since then that went to others, between 0 and 1."""
    now = mark()
    room = (now.wall - since.wall) * (os.cpu_count() or 1)
    others = (now.machine - since.machine) - (now.ours - since.ours)
    return min(1.0, max(0.0, others / room)) if room else 0.0
