"""How much memory tuning a network takes: an estimate of ours, from its sizes alone.

It counts weights, one adapter with its gradient and AdamW's two moments, what the backward pass needs of one pass
of tokens, the scores of its supervised tokens, and what the process needs before any model is there.
"""

from pathlib import Path
from typing import Literal

from afina.engine.footprint import Footprint
from afina.intake import shapes
from afina.intake.network import Network
from afina.intake.unfit import Unfit
from afina.training.memory import PROCESS, TRAINED_BYTES, scores

Weights = Literal["float32", "bfloat16", "nf4"]

GIB = 2**30
RANK = 16
TOKENS = 512  # of an example: about 350 words
BYTES = {"float32": 4.0, "bfloat16": 2.0, "nf4": 4.127 / 8}  # nf4: four bits, and a doubly quantised scale


def lora_bytes(
    network: Network, weights: Weights, *, tokens: int, rank: int = RANK, checkpointed: bool = False
) -> int:
    """Bytes of a run with one adapter on all linears, its longest example `tokens` long.

    `checkpointed` computes each layer again on the way back, as GPUs with little memory do.
    """
    kept = activations(network, tokens, checkpointed=checkpointed) * (4 if weights == "float32" else 2)
    found = frozen(network, weights) + adapter(network, rank) + kept
    return int(found + scores(tokens, network.vocabulary) + PROCESS)


def frozen(network: Network, weights: Weights) -> float:
    """The base; quantising leaves embeddings, head and norms in bfloat16."""
    linear = network.layers * sum(inner * outer for inner, outer in shapes.linears(network).values())
    rest = shapes.parameters(network) - linear
    return linear * BYTES[weights] + rest * max(BYTES[weights], 2)


def adapter(network: Network, rank: int) -> int:
    """Two factors for each linear."""
    edges = sum(inner + outer for inner, outer in shapes.linears(network).values())
    return network.layers * edges * rank * TRAINED_BYTES


def activations(network: Network, tokens: int, *, checkpointed: bool) -> int:
    """How many numbers a pass keeps for its backward pass."""
    queries, keys = network.heads * network.head_dim, network.kv_heads * network.head_dim
    layers = Footprint(network.layers, network.hidden, queries, keys, network.intermediate)
    return layers.kept(tokens, recomputed=checkpointed)


def here() -> int:
    """Bytes of memory that this machine has, or that the container around us may use."""
    lines = Path("/proc/meminfo").read_text().splitlines()
    total = next(int(line.split()[1]) * 1024 for line in lines if line.startswith("MemTotal:"))
    limit = Path("/sys/fs/cgroup/memory.max")
    allowed = limit.read_text().strip() if limit.is_file() else "max"
    return min(total, int(allowed)) if allowed.isdigit() else total


def check(network: Network, available: int) -> int:
    """The estimate for float32 weights, as engines here hold them; raises `Unfit` where there is less."""
    needed = lora_bytes(network, "float32", tokens=TOKENS)
    if needed > available:
        message = (
            f"the model is too large to be tuned here: by our estimate it needs about {gib(needed)} GiB "
            f"of memory for examples of {TOKENS} tokens, and this machine has {gib(available)}"
        )
        cure = "choose a smaller base, or register it all the same with --force"
        raise Unfit("config.json", message, cure=cure, code="model_too_large")
    return needed


def gib(count: float) -> str:
    """Bytes in GiB, with one decimal."""
    return f"{count / GIB:.1f}"
