"""What a training pass keeps in memory for its way back, and how much memory there is; imports no torch."""

from dataclasses import dataclass
from pathlib import Path

# Of the memory that is free before a pass: the rest is for what the pass itself makes and throws away.
SHARE = 0.5


@dataclass(frozen=True)
class Footprint:
    """The sizes of one layer: hidden states, all queries, all keys, and what its feed-forward network widens to."""

    layers: int
    hidden: int
    queries: int
    keys: int
    intermediate: int

    def kept(self, tokens: int, *, recomputed: bool = False) -> int:
        """How many numbers a pass of so many tokens keeps; the four factors were measured on this engine.

        Where layers are recomputed, it keeps their inputs, and the rest of one layer at a time.
        """
        layer = 10 * self.hidden + 11 * self.queries + 13 * self.keys + 4 * self.intermediate
        inputs = self.layers * self.hidden
        return tokens * (inputs + layer if recomputed else self.layers * layer)


def free() -> int:
    """Bytes that could be used now on this machine, or in the container around us."""
    lines = Path("/proc/meminfo").read_text().splitlines()
    machine = next(int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable:"))
    group = Path("/sys/fs/cgroup")
    limit, used = (_number(group / name) for name in ("memory.max", "memory.current"))
    return machine if limit is None or used is None else min(machine, max(0, limit - used))


def _number(path: Path) -> int | None:
    text = path.read_text().strip() if path.is_file() else ""
    return int(text) if text.isdigit() else None
