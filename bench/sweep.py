"""Which way to call SFTTrainer is the fastest here, in each precision: every candidate, twice, on the same rows."""

import statistics
from dataclasses import asdict, dataclass

from bench.course import Course
from bench.legs import Leg, LegFailed
from bench.options import Options
from bench.pace import Window
from bench.pairs import Sample, sample
from bench.parity import gap
from bench.record import Json, versions, write
from bench.variants import CANDIDATES, DEFAULT, Dtype, Variant, sweep_file

WARM = 2
PASSES = 2
NEAR = 1e-4  # losses of a way that is the same mathematics
NEAR_IN_BF16 = 2e-2


@dataclass(frozen=True)
class Tried:
    """A candidate's turns; none where it does not run here."""

    variant: Variant
    turns: tuple[Sample[Window], ...]

    @property
    def rate(self) -> float:
        """Real tokens a second, the median of its turns."""
        return statistics.median(one.answer.real / one.answer.seconds for one in self.turns)


def measure(options: Options, course: Course) -> dict[str, Json]:
    """Write `docs/figures/sweep-SHAPE.json`; a way that changes the mathematics is shown and not chosen."""
    turns: dict[str, list[Sample[Window]]] = {variant.name: [] for variant in CANDIDATES}
    for _ in range(PASSES):
        for variant in CANDIDATES:
            turns[variant.name] += attempt(options, course, variant)
    tried = [Tried(variant, tuple(turns[variant.name])) for variant in CANDIDATES if turns[variant.name]]
    default = next(one for one in tried if one.variant == DEFAULT)
    exact = [one for one in tried if same(one, default)]
    best = {dtype: fastest(exact, dtype).variant.name for dtype in ("float32", "bfloat16")}
    found: dict[str, Json] = {
        "parity": None,
        "peer": {"name": "TRL SFTTrainer"},
        "best": best,
        "pairs": [described(one, exact=one in exact) for one in tried],
    }
    write(sweep_file(options.shape.name), found | {"versions": versions(options)})
    return found


def attempt(options: Options, course: Course, variant: Variant) -> list[Sample[Window]]:
    """One turn of a candidate, nothing where it does not run here."""
    task = course.task(variant.order, variant.dtype).beside(variant.name, variant)
    try:
        with Leg(variant.name, "bench.trl_leg:train", task) as leg:
            leg.ask(WARM, Window)
            return [sample(lambda: leg.ask(options.steps, Window))]
    except LegFailed:
        return []


def same(one: Tried, default: Tried) -> bool:
    """Whether it does what the defaults do; what sorted rows change is only their order."""
    if one.variant.order == "length":
        return True
    near = NEAR_IN_BF16 if in_bf16(one.variant) else NEAR
    steps, expected = (tried.turns[0].answer.steps for tried in (one, default))
    return all(
        a.digest == b.digest and gap(a.loss, b.loss) <= near for a, b in zip(steps, expected, strict=True)
    )


def fastest(tried: list[Tried], dtype: Dtype) -> Tried:
    """Of one precision; autocast counts as bf16."""
    return max(
        (one for one in tried if in_bf16(one.variant) == (dtype == "bfloat16")), key=lambda one: one.rate
    )


def in_bf16(variant: Variant) -> bool:
    """Whether the large products are computed in bf16."""
    return variant.dtype == "bfloat16" or variant.autocast


def described(one: Tried, *, exact: bool) -> dict[str, Json]:
    """One candidate."""
    turns = [{"seconds": turn.answer.seconds, "foreign": turn.foreign} for turn in one.turns]
    last = one.turns[-1].answer
    return asdict(one.variant) | {
        "exact": exact,
        "tokens_a_second": one.rate,
        "padding": last.computed / last.real,
        "peak_bytes": last.peak,
        "turns": turns,
    }
