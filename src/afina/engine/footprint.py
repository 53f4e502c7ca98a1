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
    return min(machine, _left_in_group(Path("/sys/fs/cgroup"), otherwise=machine))


def _left_in_group(group: Path, *, otherwise: int) -> int:
    """Of a container's limit, where there is one; pages of files do not count as used, for they are given up."""
    limit = (group / "memory.max").read_text().strip() if (group / "memory.max").is_file() else "max"
    if not limit.isdigit():
        return otherwise
    used = int((group / "memory.current").read_text())
    kinds = dict(line.split() for line in (group / "memory.stat").read_text().splitlines())
    return max(0, int(limit) - used + int(kinds["inactive_file"]) + int(kinds["active_file"]))
