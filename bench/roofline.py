"""How much of this machine's matrix multiplication a training step uses, and what eats the rest."""

from dataclasses import asdict, dataclass

from afina.data.tokens import TokenFile
from afina.settings import multiplies_bf16
from bench import flops
from bench.course import prepare
from bench.flops import Lengths
from bench.legs import Leg, apart
from bench.options import Options
from bench.pace import Window
from bench.pairs import Limits, Round, interleave
from bench.products import Products, Rates
from bench.recipe import RANK, Task
from bench.record import Json
from bench.rows import Talk, steps_of, tokens_of
from bench.shapes import SMALL, Shape
from bench.statistics import ENOUGH, NOISY, Spread
from bench.variants import Dtype

WARM = 2
ROWS = (
    1024  # of the products at least: with fewer, their own rate falls, and ours would look the better for it
)
ONE_TRILLION = 1e12


@dataclass(frozen=True)
class Reading:
    """One round: operations a second of our steps and of each product, and what others used meanwhile."""

    ours: float
    products: dict[str, float]
    foreign: float


def measure(options: Options) -> dict[str, Json]:
    """The figures of `roofline`, always of 135M; `fraction` is in bf16."""
    course = prepare(options, SMALL, Talk(), name="roofline")
    shares: dict[Dtype, float] = {"bfloat16": 0.5, "float32": 0.9}
    found = {
        dtype: fraction(options, course.task("random", dtype).beside(dtype), share=share)
        for dtype, share in shares.items()
    }
    return {
        "parity": None,
        "peer": {"name": "torch's product of the same matrices"},
        "fraction": found["bfloat16"]["fraction"],
        "fraction_float32": found["float32"]["fraction"],
        "noisy": found["bfloat16"]["noisy"],
        "pairs": found,
    }


def fraction(options: Options, task: Task, *, share: float) -> dict[str, Json]:
    """Steps and products in turns; then one step is watched from inside."""
    rows = max(ROWS, task.spec.token_budget)
    products = Products(SMALL, multiplied(task.spec.dtype), rows=rows, threads=task.spec.threads)
    with (
        Leg("ours", "bench.ours:train", task) as ours,
        Leg("products", "bench.matmul:measure", products) as all_of_it,
    ):
        ours.ask(WARM, Window)
        turns = {
            "products": lambda: all_of_it.ask("go", Rates),
            "ours": lambda: ours.ask(options.steps, Window),
        }
        rounds = interleave(turns, Limits.of(options, share))
    return judged(readings(rounds, work(task, SMALL), options.steps)) | {
        "operations": [asdict(one) for one in apart("bench.profile:operations", task, list)],
        "rows_of_products": products.rows,
        "dtype_of_products": products.dtype,
    }


def multiplied(dtype: Dtype) -> Dtype:
    """The type in which this chip multiplies such weights fastest: beside a slower one we would look too good."""
    return dtype if multiplies_bf16() else "float32"


def work(task: Task, shape: Shape) -> list[float]:
    """Operations that each step of a run needs."""
    data = TokenFile.open(task.spec.training_tokens)
    rows = [[tokens_of(data, [row]) for row in step] for step in steps_of(task.spec, len(data))]
    lengths = [[Lengths(len(row.ids), int(row.supervised.sum())) for row in step] for step in rows]
    return [flops.step(shape, RANK, step) for step in lengths]


def readings(rounds: list[Round[Window | Rates]], needed: list[float], steps: int) -> list[Reading]:
    """What each round says."""
    found: list[Reading] = []
    for i, each in enumerate(rounds):
        rates, window = each["products"].answer, each["ours"].answer
        assert isinstance(rates, Rates)
        done = sum(needed[WARM + i * steps : WARM + (i + 1) * steps])
        foreign = max(sample.foreign for sample in each.values())
        found.append(Reading(done / window.seconds, rates.rates, foreign))
    return found


def judged(found: list[Reading]) -> dict[str, Json]:
    """Our rate as a part of the best product's in any quiet round."""
    quiet = [one for one in found if one.foreign <= NOISY]
    counted = quiet if len(quiet) >= ENOUGH else found
    best = max(rate for one in counted for rate in one.products.values())
    return {
        "fraction": Spread.of([one.ours / best for one in counted]).median,
        "best_tera": best / ONE_TRILLION,
        "ours_tera": asdict(Spread.of([one.ours / ONE_TRILLION for one in counted])),
        "products_tera": {
            name: max(one.products[name] for one in counted) / ONE_TRILLION for name in counted[0].products
        },
        "noisy": len(quiet) < ENOUGH,
        "readings": [asdict(one) for one in found],
    }
