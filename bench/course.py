"""What a comparison trains on: a base, an adapter to start from, and rows in the orders that the legs need."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from afina.engine.types import AdapterSpec
from bench import checkpoint, parity, references, rows
from bench.checkpoint import NewAdapter
from bench.options import Options
from bench.recipe import ALPHA, RANK, SEED, Task, preferring, recipe
from bench.rows import POOL, Duel, Example, Talk
from bench.shapes import Shape
from bench.variants import Dtype, Order

SPARE = 4  # steps before the timed ones
EXAMPLES_A_PAIR = 4  # a pair is about as long as four conversations
NOISE = 0.02  # of the adapter's second factors: without it half of the gradients are zero at first


@dataclass(frozen=True)
class Course:
    """Its folder holds `base`, `start`, and a folder of rows for each order."""

    folder: Path
    batch: int
    threads: int
    pairs: bool = False

    def task(self, order: Order, dtype: Dtype) -> Task:
        """A run over all steps, in one order."""
        folder, base = self.folder / order, self.folder / "base"
        spec = recipe(folder, base, batch=self.batch, dtype=dtype, threads=self.threads)
        return Task(preferring(spec, base) if self.pairs else spec, base)


def prepare(options: Options, shape: Shape, work: Talk | Duel, *, name: str) -> Course:
    """Write everything; the same call writes the same bytes."""
    pairs, batch = isinstance(work, Duel), shape.examples(quick=options.quick)
    batch = max(1, batch // EXAMPLES_A_PAIR) if pairs else batch
    course = Course(options.folder / name, batch, options.threads, pairs)
    base = checkpoint.base(shape, course.folder / "base")
    first = AdapterSpec(rank=RANK, alpha=ALPHA, seed=SEED)
    checkpoint.adapter(NewAdapter(base, course.folder / "start", first, NOISE))
    steps = max(parity.STEPS, SPARE + 2 * options.pairs * options.steps)
    drawn = work.examples(max(POOL, steps * course.batch), vocabulary=shape.vocabulary, seed=SEED)
    orders: dict[Order, Callable[[Sequence[Example], int, int], list[Example]]] = {
        "random": rows.at_random,
        "length": rows.by_length,
    }
    for order, arrange in orders.items():
        (course.folder / order).mkdir(parents=True)
        path = course.folder / order / "tokens.safetensors"
        rows.store(path, arrange(drawn, course.batch, steps), seed=SEED)
        if pairs:
            references.prepare(course.task(order, "float32"))
    return course
