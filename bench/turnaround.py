"""50 rows on a warm server, from the upload to `succeeded`, against a script with TRL."""

import time
from dataclasses import dataclass

from openai.types.fine_tuning.job_create_params import Hyperparameters

from bench import words
from bench.options import Options
from bench.pairs import Limits, compare, interleave
from bench.record import Json, described
from bench.server import Server
from bench.trl_jobs import Script, equal, script, worst_gap

ROWS = 50
NUMBERS: Hyperparameters = {"n_epochs": 3, "batch_size": 5}
SEED = 11


@dataclass(frozen=True)
class Took:
    """One job's time."""

    seconds: float
    losses: list[float]


def measure(options: Options) -> dict[str, Json]:
    """The figures of `turnaround`. The first job warms the server and is compared step by step."""
    content = b"".join(words.chats(ROWS, seed=SEED))
    with Server(options.folder) as server:
        peer = script(server.spec(started(server, content)), options.folder / "peer")
        ours, theirs = job(server, content), run(peer)
        found = worst_gap(ours.losses, theirs.losses)
        known: dict[str, Json] = {
            "peer": {"name": "TRL script at its defaults, float32"},
            "worst_loss": found,
        }
        if not equal(ours.losses, theirs.losses):
            return known | {"parity": False, "pairs": {}}
        turns = {"ours": lambda: job(server, content), "peer": lambda: run(peer)}
        comparison = compare(interleave(turns, Limits.of(options)), "ours", "peer")
        memory: dict[str, Json] = {"host": server.host_peak(), "peer": peer.peak}
    return known | {
        "parity": True,
        "ratio_default": comparison.ratio.median,
        "steps": len(ours.losses),
        "peak_bytes": memory,
        "noisy": comparison.noisy,
        "pairs": {"default": described(comparison)},
    }


def started(server: Server, content: bytes) -> str:
    """A new file and a job on it."""
    return server.client.fine_tuning.jobs.create(
        model="afina-tiny", training_file=server.upload(content), seed=SEED, hyperparameters=NUMBERS
    ).id


def job(server: Server, content: bytes) -> Took:
    """Upload, create, wait."""
    begun = time.perf_counter()
    id = started(server, content)
    server.ended(id)
    return Took(time.perf_counter() - begun, server.losses(id))


def run(peer: Script) -> Took:
    """The script from its start to its end."""
    begun = time.perf_counter()
    peer.run()
    return Took(time.perf_counter() - begun, peer.losses)
