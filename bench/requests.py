"""What `serve` asks for: prompts of unequal length, and how many tokens each shall get. All arrive at once."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from bench.variants import Dtype

COUNT = 64
SHORTEST, LONGEST = 16, 256
PROMPT = (32, 192)
FIRST_ID = 16


@dataclass(frozen=True)
class Wanted:
    """One request; `adapter` is the number of its adapter."""

    prompt: tuple[int, ...]
    tokens: int
    adapter: int


@dataclass(frozen=True)
class Sampling:
    """What a leg of `serve` is given; without adapters all requests go to the base."""

    base: Path
    dtype: Dtype
    threads: int
    requests: tuple[Wanted, ...]
    adapters: tuple[Path, ...] = ()
    rows: int = COUNT  # of a batch of `generate()`


@dataclass(frozen=True)
class Sampled:
    """The ids of every request, in the order of the requests; `peak` is of resident memory."""

    seconds: float
    ids: tuple[tuple[int, ...], ...]
    peak: int


def draw(*, vocabulary: int, adapters: int, seed: int, count: int = COUNT) -> tuple[Wanted, ...]:
    """Lengths are uniform; requests go to the adapters in turns."""
    random = np.random.default_rng(seed)
    prompts = random.integers(PROMPT[0], PROMPT[1] + 1, count).tolist()
    outputs = np.linspace(SHORTEST, LONGEST, count).round().astype(int)
    random.shuffle(outputs)
    return tuple(
        Wanted(tuple(random.integers(FIRST_ID, vocabulary, length).tolist()), tokens, i % adapters)
        for i, (length, tokens) in enumerate(zip(prompts, outputs.tolist(), strict=True))
    )
