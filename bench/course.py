"""What a comparison trains on: a base, an adapter to start from, and rows in the orders that the legs need."""

from dataclasses import dataclass
from pathlib import Path

from afina.engine.types import AdapterSpec
from bench import checkpoint, parity, rows
from bench.checkpoint import NewAdapter
from bench.options import Options
from bench.recipe import ALPHA, RANK, SEED, Task, recipe
from bench.rows import POOL, Talk
from bench.shapes import Shape
from bench.variants import Dtype, Order

SPARE = 4  # steps before the timed ones
NOISE = 0.02  # of the adapter's second factors: without it half of the gradients are zero at first


@dataclass(frozen=True)
class Course:
    """Its folder holds `base`, `start`, and a folder of rows for each order."""

    folder: Path
    batch: int
    threads: int

    def task(self, order: Order, dtype: Dtype) -> Task:
        """A run over all steps, in one order."""
        folder, base = self.folder / order, self.folder / "base"
        return Task(recipe(folder, base, batch=self.batch, dtype=dtype, threads=self.threads), base)


def prepare(options: Options, shape: Shape, talk: Talk, *, name: str) -> Course:
    """Write everything; the same call writes the same bytes."""
    course = Course(options.folder / name, shape.examples(quick=options.quick), options.threads)
    base = checkpoint.base(shape, course.folder / "base")
    first = AdapterSpec(rank=RANK, alpha=ALPHA, seed=SEED)
    checkpoint.adapter(NewAdapter(base, course.folder / "start", first, NOISE))
    steps = max(parity.STEPS, SPARE + 2 * options.pairs * options.steps)
    drawn = rows.draw(talk, max(POOL, steps * course.batch), vocabulary=shape.vocabulary, seed=SEED)
    orders = {"random": rows.at_random, "length": rows.by_length}
    for order, arrange in orders.items():
        (course.folder / order).mkdir(parents=True)
        path = course.folder / order / "tokens.safetensors"
        rows.store(path, arrange(drawn, course.batch, steps), seed=SEED)
    return course
