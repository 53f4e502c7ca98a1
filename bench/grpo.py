"""Reinforcement against TRL's GRPOTrainer: whole steps, and the update alone.

The gate lets the peer learn from the very replies that our side has made: ids, rewards and so advantages are the same,
losses and gradients have to be. In the timed steps each side makes its own, all of one length.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass

from afina.engine.types import AdapterSpec
from bench import checkpoint, parity, quests
from bench.checkpoint import NewAdapter
from bench.course import NOISE
from bench.legs import Leg
from bench.options import Options
from bench.pace import Window
from bench.pairs import Limits, Round, Sample, compare, interleave
from bench.parity import Parity
from bench.quests import Quest
from bench.recipe import ALPHA, RANK, SEED, Task, recipe, trying
from bench.record import Json, described
from bench.shapes import FOR_PARITY, Shape
from bench.statistics import Comparison
from bench.variants import DEFAULT, Variant

WARM = 1  # first steps, which are not counted
STEPS = 1  # of a turn: each takes many seconds
PROMPTS, QUICK_PROMPTS = 16, 4  # of a step
GATE = Quest(prompts=4, prompt=96, replies=4, reply=48, mark="y", ends=32)
BEST = Variant("no checkpoints", "float32")
PEERS = ("default", "best")


@dataclass(frozen=True)
class Update:
    """What is left of a turn without sampling and grading."""

    seconds: float


def measure(options: Options) -> dict[str, Json]:
    """The figures of `grpo`; without parity there is no ratio."""
    gate = parity.check(prepare(options, FOR_PARITY[options.shape.name], GATE, name="parity"))
    peer: dict[str, Json] = {"name": "TRL GRPOTrainer", "default": asdict(DEFAULT), "best": asdict(BEST)}
    if not gate.holds:
        return {"parity": False, "parity_found": asdict(gate), "peer": peer, "pairs": {}}
    quest = Quest(prompts=QUICK_PROMPTS if options.quick else PROMPTS)
    rounds = contest(options, prepare(options, options.shape, quest, name="timed"))
    return figures(gate, rounds) | {"peer": peer, "workload": asdict(quest) | {"steps_a_turn": STEPS}}


def prepare(options: Options, shape: Shape, quest: Quest, *, name: str) -> Task:
    """A base, an adapter to start from, and the prompts of all steps there may be."""
    folder = options.folder / name
    base = checkpoint.base(shape, folder / "base")
    first = AdapterSpec(rank=RANK, alpha=ALPHA, seed=SEED)
    checkpoint.adapter(NewAdapter(base, folder / "start", first, NOISE))
    rows = folder / "rows"
    rows.mkdir()
    # One more than are taken: behind the last one we would look at the validation file.
    steps = 1 + max(parity.STEPS, WARM + 2 * options.pairs * STEPS)
    quests.store(rows / "tokens.safetensors", quest, steps=steps, vocabulary=shape.vocabulary, seed=SEED)
    spec = recipe(rows, base, batch=quest.prompts, dtype="float32", threads=options.threads)
    return Task(trying(spec, base, quest.trials), base, ends=quest.ends)


def contest(options: Options, task: Task) -> list[Round[Window]]:
    """Ours, the peer at its defaults and at its best, in turns."""
    ours = task.beside("us")
    default, best = (task.beside(variant.name, variant) for variant in (DEFAULT, BEST))
    with (
        Leg("ours", "bench.ours:train", ours) as us,
        Leg("TRL, defaults", "bench.trl_leg:train", default) as by_default,
        Leg("TRL, best", "bench.trl_leg:train", best) as at_best,
    ):
        legs = {"ours": us, "default": by_default, "best": at_best}
        for leg in legs.values():
            leg.ask(WARM, Window)
        turns = {name: lambda leg=leg: leg.ask(STEPS, Window) for name, leg in legs.items()}
        return interleave(turns, Limits.of(options))


def figures(gate: Parity, rounds: Sequence[Round[Window]]) -> dict[str, Json]:
    """The keys that are held against bars; `ratio_update` is of what comes behind sampling and grading."""
    last = {name: sample.answer for name, sample in rounds[-1].items()}
    same = all(len({sample.answer.real for sample in each.values()}) == 1 for each in rounds)
    step = {peer: compare(rounds, "ours", peer) for peer in PEERS}
    update = {peer: compare(updates(rounds), "ours", peer) for peer in PEERS}
    found: dict[str, Json] = {
        "parity": same,
        "parity_found": asdict(gate),
        "tokens": last["ours"].real,
        "computed": {name: window.computed for name, window in last.items()},
        "peak_bytes": {name: window.peak for name, window in last.items()},
        "pairs": {"step": every(step), "update": every(update)},
    }
    if same:
        found |= {
            "ratio_default": step["default"].ratio.median,
            "ratio_update": update["default"].ratio.median,
            "ratio_best": step["best"].ratio.median,
            "ratio_update_best": update["best"].ratio.median,
            "memory_ratio_best": last["ours"].peak / last["best"].peak,
            "noisy": step["default"].noisy,
        }
    return found


def updates(rounds: Sequence[Round[Window]]) -> list[Round[Update]]:
    """The same rounds, of which only the updates count."""
    return [
        {
            name: Sample(Update(turn.answer.seconds - turn.answer.sampling), turn.foreign)
            for name, turn in each.items()
        }
        for each in rounds
    ]


def every(comparisons: Mapping[str, Comparison]) -> dict[str, Json]:
    """All of them in full."""
    return {peer: described(comparison) for peer, comparison in comparisons.items()}
