"""Our method against TRL's on the same steps: at its defaults, and at its best in each precision."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass

from bench import parity
from bench.course import Course, prepare
from bench.legs import Leg
from bench.options import Options
from bench.pace import Step, Window
from bench.pairs import Limits, Round, compare, interleave
from bench.parity import Parity, gap
from bench.record import Json, described
from bench.rows import Duel, Talk
from bench.shapes import FOR_PARITY
from bench.statistics import Comparison
from bench.variants import DEFAULT, Best, Dtype, Variant

WARM = 2  # first steps, which are not counted
OURS_BY_DEFAULT: Dtype = "float32"  # what a job gets when nobody says anything
# Largest relative difference of the losses of timed steps, which go on for longer than the gate's twenty.
NEAR: dict[Dtype, float] = {"float32": 1e-4, "bfloat16": 2e-2}


@dataclass(frozen=True)
class Opponents:
    """One of our precisions against one way to call the peer, until a share of the time is used up."""

    dtype: Dtype
    variant: Variant
    share: float


@dataclass(frozen=True)
class Match:
    """What came of it: speed, memory, and whether both sides did the same in the very steps that were timed."""

    comparison: Comparison
    facts: dict[str, Json]
    same: bool
    memory_ratio: float


def against_trl(
    options: Options,
    work: Talk | Duel,
    bests: Mapping[Dtype, Best],
    *,
    trainer: str,
    gate_work: Talk | Duel | None = None,
) -> dict[str, Json]:
    """Parity, on work of its own where there is some, then the three comparisons; without parity there is no ratio."""
    flat = prepare(options, FOR_PARITY[options.shape.name], gate_work or work, name="parity")
    gate = parity.check(flat.task("random", "float32"))
    if not gate.holds:
        return {"parity": False, "parity_found": asdict(gate), "peer": {}, "pairs": {}}
    course = prepare(options, options.shape, work, name="timed")
    opponents = {
        "default": Opponents(OURS_BY_DEFAULT, DEFAULT, share=0.55),
        "best_float32": Opponents("float32", bests["float32"].variant, share=0.85),
        "best_bfloat16": Opponents("bfloat16", bests["bfloat16"].variant, share=1.0),
    }
    matches = {name: match(options, course, which) for name, which in opponents.items()}
    peer: dict[str, Json] = {"name": f"TRL {trainer}", "default": asdict(DEFAULT)}
    peer |= {f"best_{dtype}": asdict(one.variant) | {"why": one.why} for dtype, one in bests.items()}
    workload = asdict(work) | {"examples_a_step": course.batch, "steps_a_turn": options.steps}
    return figures(gate, matches) | {"peer": peer, "workload": workload}


def match(options: Options, course: Course, which: Opponents) -> Match:
    """Both legs over the same steps, in turns."""
    task = course.task(which.variant.order, which.dtype)
    name = which.variant.name
    ours, theirs = (task.beside(f"{side}{name}", which.variant) for side in ("ours against ", ""))
    with Leg("ours", "bench.ours:train", ours) as us, Leg("TRL", "bench.trl_leg:train", theirs) as peer:
        legs = {"ours": us, "peer": peer}
        for leg in legs.values():
            leg.ask(WARM, Window)
        turns = {name: lambda leg=leg: leg.ask(options.steps, Window) for name, leg in legs.items()}
        rounds = interleave(turns, Limits.of(options, which.share))
    return judged(rounds, which)


def judged(rounds: list[Round[Window]], which: Opponents) -> Match:
    """The figures of a match."""
    ours, peer = ([each[side].answer for each in rounds] for side in ("ours", "peer"))
    worst = max(gap(a.loss, b.loss) for a, b in zip(steps(ours), steps(peer), strict=True))
    same = [step.digest for step in steps(ours)] == [step.digest for step in steps(peer)]
    comparison = compare(rounds, "ours", "peer")
    facts: dict[str, Json] = described(comparison) | {
        "dtype_ours": which.dtype,
        "attention_ours": "segments, no padding",
        "attention_peer": "sdpa",
        "padding_peer": sum(w.computed for w in peer) / sum(w.real for w in peer),
        "tokens": ours[0].real,
        "tokens_a_second": {"ours": rate(ours), "peer": rate(peer)},
        "peak_bytes": {"ours": ours[-1].peak, "peer": peer[-1].peak},
        "worst_loss": worst,
        "same_tokens": same,
        "digests": [step.digest for step in steps(ours)],
    }
    return Match(comparison, facts, same and worst <= NEAR[which.dtype], ours[-1].peak / peer[-1].peak)


def steps(windows: Sequence[Window]) -> list[Step]:
    """All steps of a leg's turns."""
    return [step for window in windows for step in window.steps]


def rate(windows: Sequence[Window]) -> float:
    """Real tokens a second, over all turns."""
    return sum(window.real for window in windows) / sum(window.seconds for window in windows)


def figures(gate: Parity, matches: Mapping[str, Match]) -> dict[str, Json]:
    """The keys that are held against bars; of the two precisions the worse one counts."""
    found: dict[str, Json] = {
        "parity": all(one.same for one in matches.values()),
        "parity_found": asdict(gate),
        "pairs": {name: one.facts for name, one in matches.items()},
    }
    if found["parity"]:
        exact = [one for name, one in matches.items() if name != "default"]
        found |= {
            "ratio_default": matches["default"].comparison.ratio.median,
            "ratio_best": min(one.comparison.ratio.median for one in exact),
            "ratio_best_q1": min(one.comparison.ratio.q1 for one in exact),
            "memory_ratio_best": max(one.memory_ratio for one in exact),
            "noisy": any(one.comparison.noisy for one in matches.values()),
        }
    return found
