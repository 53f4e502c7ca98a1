"""Several different jobs at once on one server: against scripts with TRL one after the other, and against ourselves."""

import time
from dataclasses import asdict, dataclass, field

from openai.types.fine_tuning.job_create_params import Hyperparameters

from bench import words
from bench.options import Options
from bench.pairs import Limits, Round, compare, interleave
from bench.parity import LOSS
from bench.record import Json, described
from bench.server import Server
from bench.trl_jobs import Script, script, worst_gap

SEED = 13


@dataclass(frozen=True)
class Kind:
    """One of the jobs: its adapter, rate, lengths in sentences, rows, epochs; each takes at least 40 steps."""

    rank: int
    multiplier: float
    question: int
    answer: int
    rows: int
    epochs: int
    batch: int = 4

    def content(self, seed: int) -> bytes:
        """Its training file."""
        return b"".join(words.chats(self.rows, seed=seed, question=self.question, answer=self.answer))


KINDS = (
    Kind(rank=8, multiplier=0.5, question=1, answer=1, rows=160, epochs=1),
    Kind(rank=16, multiplier=1.0, question=2, answer=2, rows=80, epochs=2),
    Kind(rank=32, multiplier=1.5, question=1, answer=4, rows=88, epochs=2),
    Kind(rank=16, multiplier=3.0, question=3, answer=1, rows=100, epochs=2),
)


@dataclass(frozen=True)
class Work:
    """How long all jobs took, and the losses of each."""

    seconds: float
    losses: list[list[float]] = field(default_factory=list[list[float]])


@dataclass(frozen=True)
class Several:
    """What one number of jobs gave; figures only where every job did the same as its script."""

    worst_loss: float
    figures: dict[str, float]
    noisy: bool
    pairs: dict[str, Json]


# Which of the figures for 4 and for 8 jobs is the worse one.
WORSE = {"ratio_default": min, "ratio_own_sequential": min, "memory_ratio_one_job": max, "loss_gap": max}


def measure(options: Options) -> dict[str, Json]:
    """The figures of `jobs`: of 4 jobs, and of 8 too when there is time; the worse ones count."""
    counts = (4,) if options.quick else (4, 8)
    found = {n: several(options, n, share=(i + 1) / len(counts)) for i, n in enumerate(counts)}
    known: dict[str, Json] = {
        "parity": all(one.worst_loss <= LOSS for one in found.values()),
        "peer": {"name": "TRL scripts at their defaults, float32, one after the other"},
        "kinds": [asdict(kind) for kind in KINDS],
        "noisy": any(one.noisy for one in found.values()),
        "worst_loss": max(one.worst_loss for one in found.values()),
        "pairs": {str(n): one.pairs for n, one in found.items()},
    }
    if not known["parity"]:
        return known
    return known | {key: pick(one.figures[key] for one in found.values()) for key, pick in WORSE.items()}


def several(options: Options, count: int, *, share: float) -> Several:
    """So many jobs on two servers, one that gets all at once and one that gets them one by one."""
    kinds = [KINDS[i % len(KINDS)] for i in range(count)]
    folder = options.folder / str(count)
    with Server(folder / "together", jobs=count) as many, Server(folder / "alone", jobs=count) as one:
        peers = [
            script(many.spec(started(many, kind, i)), folder / f"trl-{i}") for i, kind in enumerate(kinds)
        ]
        turns = {
            "together": lambda: together(many, kinds),
            "one_by_one": lambda: one_by_one(one, kinds),
            "trl": lambda: with_trl(peers),
        }
        first = {name: turn() for name, turn in turns.items()}
        worst = max(
            worst_gap(*both) for both in zip(first["together"].losses, first["trl"].losses, strict=True)
        )
        if worst > LOSS:
            return Several(worst, {}, False, {})
        found = judged(interleave(turns, Limits.of(options, share)), worst)
        found.figures["memory_ratio_one_job"] = many.host_peak() / one.host_peak()
    return found


def judged(rounds: list[Round[Work]], worst: float) -> Several:
    """The figures of one number of jobs."""
    against = {name: compare(rounds, "together", name) for name in ("trl", "one_by_one")}
    gaps = [
        worst_gap(ours, solo, steps=None)
        for each in rounds
        for ours, solo in zip(each["together"].answer.losses, each["one_by_one"].answer.losses, strict=True)
    ]
    figures = {
        "ratio_default": against["trl"].ratio.median,
        "ratio_own_sequential": against["one_by_one"].ratio.median,
        "loss_gap": max(gaps),
    }
    noisy = any(one.noisy for one in against.values())
    return Several(worst, figures, noisy, {name: described(one) for name, one in against.items()})


def started(server: Server, kind: Kind, number: int) -> str:
    """A new file and a job on it."""
    numbers: Hyperparameters = {
        "n_epochs": kind.epochs,
        "batch_size": kind.batch,
        "learning_rate_multiplier": kind.multiplier,
    }
    adapter = {"rank": kind.rank, "alpha": 2.0 * kind.rank}
    return server.client.fine_tuning.jobs.create(
        model="afina-tiny",
        training_file=server.upload(kind.content(SEED + number)),
        seed=SEED + number,
        hyperparameters=numbers,
        extra_body={"afina": {"adapter": adapter}},
    ).id


def together(server: Server, kinds: list[Kind]) -> Work:
    """All at once: from the first upload until the last has succeeded."""
    begun = time.perf_counter()
    ids = [started(server, kind, i) for i, kind in enumerate(kinds)]
    for id in ids:
        server.ended(id)
    return Work(time.perf_counter() - begun, [server.losses(id) for id in ids])


def one_by_one(server: Server, kinds: list[Kind]) -> Work:
    """The next one is created when the last one has succeeded."""
    begun, ids = time.perf_counter(), list[str]()
    for i, kind in enumerate(kinds):
        ids.append(server.ended(started(server, kind, i)).id)
    return Work(time.perf_counter() - begun, [server.losses(id) for id in ids])


def with_trl(scripts: list[Script]) -> Work:
    """One script after the other, each from its imports on."""
    begun = time.perf_counter()
    for one in scripts:
        one.run()
    return Work(time.perf_counter() - begun, [one.losses for one in scripts])
