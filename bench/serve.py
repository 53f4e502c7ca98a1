"""64 requests with 16 to 256 tokens each: the engine's sampler against batched `generate()` and a PEFT loop."""

from dataclasses import dataclass, replace
from pathlib import Path

from afina.engine.types import AdapterSpec
from bench import checkpoint, requests
from bench.checkpoint import NewAdapter
from bench.legs import Leg
from bench.options import Options
from bench.pairs import Limits, Round, compare, interleave
from bench.recipe import ALPHA, RANK
from bench.record import Json, described
from bench.requests import Sampled, Sampling
from bench.shapes import TINY_SHARP
from bench.statistics import Comparison
from bench.variants import Dtype

ADAPTERS = 8
NOISE = 0.02
SEED = 7
BATCHES = (64, 16)  # rows of a batch of `generate()`: the faster one is the peer

# Our leg and the peer's, by the key that the bar holds.
RATIOS = {
    "ratio_generate": ("ours", "generate"),
    "ratio_generate_8": ("ours_8", "generate"),
    "ratio_peft_loop_8": ("ours_8", "peft_loop"),
}


@dataclass(frozen=True)
class Served:
    """What one precision gave: comparisons by key, and whether all ids were equal."""

    rounds: list[Round[Sampled]]
    rows: int

    @property
    def equal(self) -> bool:
        """Base against base, adapters against adapters, in every round."""
        pairs = (("ours", "generate"), ("ours_8", "peft_loop"))
        return all(each[a].answer.ids == each[b].answer.ids for each in self.rounds for a, b in pairs)

    @property
    def comparisons(self) -> dict[str, Comparison]:
        """By key."""
        return {key: compare(self.rounds, *legs) for key, legs in RATIOS.items()}


def measure(options: Options) -> dict[str, Json]:
    """The figures of `serve`. Of the two precisions the worse one counts; ids must be equal in float32."""
    given = prepare(options)
    full = served(options, given, share=0.55)
    if not full.equal:
        return {"parity": False, "peer": {"name": "transformers generate()"}, "pairs": {}}
    half = served(options, replace(given, dtype="bfloat16"), share=1.0)
    by_dtype: dict[Dtype, Served] = {"float32": full, "bfloat16": half}
    worst = {key: min(one.comparisons[key].ratio.median for one in by_dtype.values()) for key in RATIOS}
    return {
        "parity": True,
        "peer": {
            "name": "transformers generate(), PEFT",
            "rows": {d: one.rows for d, one in by_dtype.items()},
        },
        **worst,
        "ids_equal": {dtype: one.equal for dtype, one in by_dtype.items()},
        "tokens": sum(wanted.tokens for wanted in given.requests),
        "noisy": any(c.noisy for one in by_dtype.values() for c in one.comparisons.values()),
        "peak_bytes": {
            dtype: {leg: sample.answer.peak for leg, sample in one.rounds[-1].items()}
            for dtype, one in by_dtype.items()
        },
        "pairs": {
            dtype: {key: described(c) for key, c in one.comparisons.items()}
            for dtype, one in by_dtype.items()
        },
    }


def prepare(options: Options) -> Sampling:
    """A base with sharp logits, and eight adapters that differ."""
    base = checkpoint.base(TINY_SHARP, options.folder / "base")
    adapters = tuple(new_adapter(base, options.folder / f"adapter-{i}", seed=i) for i in range(ADAPTERS))
    wanted = requests.draw(vocabulary=TINY_SHARP.vocabulary, adapters=ADAPTERS, seed=SEED)
    return Sampling(base, "float32", options.threads, wanted, adapters)


def new_adapter(base: Path, folder: Path, *, seed: int) -> Path:
    """One that changes what the base says."""
    return checkpoint.adapter(NewAdapter(base, folder, AdapterSpec(RANK, ALPHA, seed=seed), NOISE))


def served(options: Options, given: Sampling, *, share: float) -> Served:
    """Rounds of all four legs, after one that warms them and shows which batch suits `generate()`."""
    alone = replace(given, adapters=())
    with (
        Leg("ours", "bench.sampling:serve", alone) as ours,
        Leg("ours with 8 adapters", "bench.sampling:serve", given) as ours_8,
        Leg("PEFT", "bench.generating:peft_loop", given) as peft_loop,
    ):
        rows = min(BATCHES, key=lambda size: once(replace(alone, rows=size)))
        with Leg("generate()", "bench.generating:generate", replace(alone, rows=rows)) as generate:
            legs = {"ours": ours, "generate": generate, "ours_8": ours_8, "peft_loop": peft_loop}
            turns = {name: lambda leg=leg: leg.ask("go", Sampled) for name, leg in legs.items()}
            for turn in turns.values():
                turn()
            return Served(interleave(turns, Limits.of(options, share)), rows)


def once(given: Sampling) -> float:
    """Seconds of the second answer."""
    with Leg("generate()", "bench.generating:generate", given) as leg:
        leg.ask("go", Sampled)
        return leg.ask("go", Sampled).seconds
