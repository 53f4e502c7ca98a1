"""Asks the base about every pair, in a process that has torch."""

import asyncio
import time
from pathlib import Path

from afina.engine.engine import Engine
from afina.training import preferences
from bench import references
from bench.recipe import Task


def write(task: Task) -> float:
    """Both answers of each pair; the seconds a pair took."""
    return asyncio.run(_write(task))


async def _write(task: Task) -> float:
    spec, pairs = task.spec, preferences.Pairs(task.spec.training_tokens)
    engine = await Engine.open(task.base, dtype=spec.dtype, threads=spec.threads)
    begun = time.perf_counter()
    found = await preferences.sums(
        engine, None, pairs, list(range(len(pairs))), token_budget=spec.token_budget
    )
    seconds = time.perf_counter() - begun
    await engine.close()
    folder = Path(spec.folder) / "references"
    folder.mkdir()
    preferences.keep(folder / references.FILE, found)
    (folder / "seconds").write_text(str(seconds / len(pairs)))
    return seconds / len(pairs)
