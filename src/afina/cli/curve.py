"""A curve in a few lines of text."""

from collections.abc import Sequence
from itertools import pairwise

EIGHTHS = " ▁▂▃▄▅▆▇█"


def draw(values: Sequence[float], *, width: int = 60, height: int = 4) -> list[str]:
    """Rows of blocks, the highest first, with the greatest and the least value at their left."""
    if not values:
        return []
    columns = averages(values, width)
    low, high = min(columns), max(columns)
    levels = [1 + round((value - low) / ((high - low) or 1.0) * (8 * height - 1)) for value in columns]
    rows = ["".join(EIGHTHS[min(8, max(0, level - 8 * row))] for level in levels) for row in range(height)]
    labels = {height - 1: f"{high:.3f}", 0: f"{low:.3f}"}
    margin = max(len(label) for label in labels.values())
    return [f"{labels.get(row, ''):>{margin}} {rows[row]}" for row in reversed(range(height))]


def averages(values: Sequence[float], most: int) -> list[float]:
    """At most so many values, each the mean of its neighbours."""
    count = min(most, len(values))
    edges = [index * len(values) // count for index in range(count + 1)]
    return [sum(values[start:end]) / (end - start) for start, end in pairwise(edges)]
