"""Chat JSONL to token ids: our check, rendering and token file, against datasets and TRL's preparation."""

from dataclasses import dataclass
from pathlib import Path

from bench import words
from bench.legs import Leg
from bench.options import Options
from bench.pairs import Limits, compare, interleave
from bench.record import Json, described

MEGABYTE = 1_000_000
SEED = 17
PROCESSES = (None, 2)  # of `datasets.map`: the faster one is the peer


@dataclass(frozen=True)
class Preparation:
    """What a leg of `data` is given."""

    file: Path
    folder: Path
    processes: int | None = None


@dataclass(frozen=True)
class Prepared:
    """`digest` is of all ids and of what is supervised, in order; empty where only time was asked for."""

    seconds: float
    rows: int
    tokens: int
    digest: str
    peak: int


def measure(options: Options) -> dict[str, Json]:
    """The figures of `data`: 100 MB, and 20 MB when quick. `again` is the same file a second time, from our cache."""
    size = (20 if options.quick else 100) * MEGABYTE
    file = words.write(options.folder / "chats.jsonl", size, seed=SEED)
    given = Preparation(file, options.folder / "ours")
    with Leg("ours", "bench.preparing:ours", given) as ours:
        processes = min(PROCESSES, key=lambda count: trial(options, count))
        theirs = Preparation(file, options.folder / "peer", processes)
        with Leg("TRL", "bench.preparing_trl:peer", theirs) as peer:
            mine, expected = ours.ask("digest", Prepared), peer.ask("digest", Prepared)
            known: dict[str, Json] = {
                "peer": {"name": "datasets and TRL's preparation", "processes": processes},
                "bytes": file.stat().st_size,
                "rows": mine.rows,
                "tokens": mine.tokens,
            }
            if mine.digest != expected.digest:
                return known | {"parity": False, "pairs": {}}
            turns = {
                "ours": lambda: ours.ask("cold", Prepared),
                "peer": lambda: peer.ask("cold", Prepared),
                "again": lambda: ours.ask("again", Prepared),
            }
            rounds = interleave(turns, Limits.of(options))
    cold, again = compare(rounds, "ours", "peer"), compare(rounds, "again", "peer")
    last = rounds[-1]
    return known | {
        "parity": True,
        "ratio_cold": cold.ratio.median,
        "ratio_again": again.ratio.median,
        "megabytes_a_second": {
            "ours": file.stat().st_size / MEGABYTE / cold.ours.median,
            "peer": file.stat().st_size / MEGABYTE / cold.peer.median,
        },
        "peak_bytes": {name: one.answer.peak for name, one in last.items()},
        "noisy": cold.noisy or again.noisy,
        "pairs": {"cold": described(cold), "again": described(again)},
    }


def trial(options: Options, processes: int | None) -> float:
    """Seconds for a tenth of the file, the second time."""
    small = words.write(options.folder / f"small-{processes}.jsonl", 2 * MEGABYTE, seed=SEED + 1)
    given = Preparation(small, options.folder / f"trial-{processes}", processes)
    with Leg("TRL", "bench.preparing_trl:peer", given) as peer:
        peer.ask("cold", Prepared)
        return peer.ask("cold", Prepared).seconds
