"""What "auto" means: every number of a run, from the request, the data and the base. Pure; its tests are its table.

- n_epochs: 3; so many that 100 examples are seen where there are few (at most 25), fewer above 8,333
  (OpenAI's cookbook, Chat_finetuning_data_prep).
- batch_size: 0.2% of the examples (OpenAI's guide), raised to what 200 ms hold while an epoch keeps 16 steps.
- learning_rate: multiplier x 5e-4 x (2000 / hidden size)^0.781, and a tenth of it where all weights are trained
  (Thinking Machines, LoRA Without Regret, 2025; the exponent is Llama's).
  A tenth of it for preferences, whose gradient does not fade as the margin grows (Tunstall et al., Zephyr, 2023).
  Half of it for reinforcement, whose advantages are scaled to one within each group.
- reinforcement: 8 prompts a step (fewer where an epoch would have less than four steps), and about ten looks at the
  validation file, each with 2 replies to a prompt.
- beta: 0.1 (OpenAI's guide to direct preference optimisation).
- token_budget: what a pass of a second holds at 100 GFLOP/s, the rate of two cores in fp32, and at least 512 tokens:
  with fewer, products are too thin to be computed at full rate. Samples do not wait for a pass to end.
"""

import json
import math
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, TypeVar

from afina.data.tokens import TokenStats
from afina.engine.footprint import Footprint
from afina.engine.types import LINEARS
from afina.schemas.fine_tuning import (
    DpoHyperparameters,
    Hyperparameters,
    ReinforcementHyperparameters,
    SupervisedHyperparameters,
)
from afina.training.batches import steps_per_epoch

LINEAR = re.compile(rf"model\.layers\.\d+\..*\b({'|'.join(LINEARS)})\.weight")
FLOPS = 1e11
PASS_SECONDS = 1.0
BATCH_SECONDS = 0.2
FLOP_PER_PARAMETER = 4  # forward and backward without the frozen weights' gradients
RATE_AT_2000 = 5e-4
RATE_EXPONENT = 0.781
FULL_RATE = 0.1
PREFERENCE_RATE = 0.1
REINFORCEMENT_RATE = 0.5
BETA = 0.1
MOST_BATCH = 256
PROMPTS = 8
LOOKS = 10
EVAL_SAMPLES = 2

Number = TypeVar("Number", int, float)


@dataclass(frozen=True)
class BaseFacts:
    """What planning needs to know of a base model; `linears` have the widths in and out of all layers, summed.

    `kept` is how many numbers the backward pass needs of each token.
    """

    parameters: int
    hidden_size: int
    context: int
    linears: Mapping[str, int] = field(default_factory=dict[str, int])
    vocabulary: int = 0
    kept: int = 0

    @classmethod
    def read(cls, folder: Path) -> "BaseFacts":
        """From `config.json` and the headers of the safetensors files: no tensor is loaded."""
        config = json.loads((folder / "config.json").read_bytes())
        found = {name: shape for path in folder.glob("model*.safetensors") for name, shape in shapes_in(path)}
        linears: Counter[str] = Counter()
        for name, shape in found.items():
            if linear := LINEAR.fullmatch(name):
                linears[linear[1]] += sum(shape)
        edges = {name: linears[name] for name in LINEARS if name in linears}
        count = sum(map(math.prod, found.values()))
        context, vocabulary = config["max_position_embeddings"], config["vocab_size"]
        return cls(count, config["hidden_size"], context, edges, vocabulary, kept_of(config))


def kept_of(config: Mapping[str, int]) -> int:
    """Numbers that the backward pass needs of a token, by `config.json`."""
    hidden, heads = config["hidden_size"], config["num_attention_heads"]
    size = config.get("head_dim") or hidden // heads
    queries, keys = heads * size, (config.get("num_key_value_heads") or heads) * size
    layers = Footprint(config["num_hidden_layers"], hidden, queries, keys, config["intermediate_size"])
    return layers.kept(1)


def shapes_in(path: Path) -> Iterator[tuple[str, list[int]]]:
    """Name and shape of each tensor of a safetensors file, by its header."""
    with path.open("rb") as file:
        header = json.loads(file.read(int.from_bytes(file.read(8), "little")))
    return ((name, entry["shape"]) for name, entry in header.items() if name != "__metadata__")


def resolve(asked: Hyperparameters, data: TokenStats, base: BaseFacts) -> Hyperparameters:
    """The hyperparameters with a number in place of each "auto"."""
    by_device = batch_size(units(asked, data), data.tokens, base)
    trying = isinstance(asked, ReinforcementHyperparameters)
    found: dict[str, int | float] = {
        "n_epochs": chosen(asked.n_epochs, epochs(data.examples)),
        "batch_size": chosen(asked.batch_size, prompts(data.examples) if trying else by_device),
        "learning_rate_multiplier": chosen(asked.learning_rate_multiplier, 1.0),
    }
    if isinstance(asked, DpoHyperparameters):
        found["beta"] = chosen(asked.beta, BETA)
    planned = asked.model_copy(update=found)
    return with_trials(planned, data) if isinstance(planned, ReinforcementHyperparameters) else planned


def with_trials(planned: ReinforcementHyperparameters, data: TokenStats) -> ReinforcementHyperparameters:
    """How much is tried out, and how often and how closely the validation file is looked at."""
    interval = math.ceil(total_steps(planned, data) / LOOKS)
    found = {
        "compute_multiplier": chosen(planned.compute_multiplier, 1.0),
        "eval_interval": chosen(planned.eval_interval, interval),
        "eval_samples": chosen(planned.eval_samples, EVAL_SAMPLES),
    }
    return planned.model_copy(update=found)


def units(asked: Hyperparameters, data: TokenStats) -> int:
    """What a batch counts: rows, of which an example may have several; pairs of answers; or prompts."""
    return data.rows if type(asked) is SupervisedHyperparameters else data.examples


def total_steps(planned: Hyperparameters, data: TokenStats) -> int:
    """Optimizer steps over all epochs."""
    n_epochs, batch_size, _ = resolved(planned)
    return n_epochs * steps_per_epoch(units(planned, data), batch_size)


def resolved(planned: Hyperparameters) -> tuple[int, int, float]:
    """(epochs, batch size, rate multiplier) after planning: a word among them would be our mistake."""
    values = (planned.n_epochs, planned.batch_size, planned.learning_rate_multiplier)
    n_epochs, batch_size, multiplier = values
    assert not isinstance(n_epochs, str) and not isinstance(batch_size, str)
    assert not isinstance(multiplier, str)
    return n_epochs, batch_size, multiplier


def beta(planned: Hyperparameters) -> float | None:
    """The method dpo's, after planning; None with other methods."""
    if not isinstance(planned, DpoHyperparameters):
        return None
    assert not isinstance(planned.beta, str)
    return planned.beta


def chosen(asked: Number | Literal["auto"], auto: Number) -> Number:
    """What was asked for, unless that was "auto"."""
    return auto if asked == "auto" else asked


def epochs(examples: int) -> int:
    """Three, more for few examples, one for very many."""
    if 3 * examples < 100:
        return min(25, 100 // examples)
    if 3 * examples > 25_000:
        return max(1, 25_000 // examples)
    return 3


def batch_size(units: int, tokens: int, base: BaseFacts) -> int:
    """0.2% of the rows (or pairs); more where that would keep the device busy for less than 200 ms."""
    by_share = round(0.002 * units)
    by_device = tokens_in(BATCH_SECONDS, base, least=256) * units // max(1, tokens)
    by_steps = units // 16
    return max(1, min(MOST_BATCH, max(by_share, min(by_device, by_steps))))


def prompts(examples: int) -> int:
    """Prompts of a step of reinforcement, each with its group of replies."""
    return max(1, min(PROMPTS, examples // 4))


def token_budget(base: BaseFacts) -> int:
    """Tokens of one pass; a longer example is a pass of its own."""
    return tokens_in(PASS_SECONDS, base, least=512)


def tokens_in(seconds: float, base: BaseFacts, *, least: int) -> int:
    """How many tokens are trained in so much time, in steps of 64."""
    tokens = seconds * FLOPS / (FLOP_PER_PARAMETER * base.parameters)
    return max(least, min(8192, int(tokens) // 64 * 64))


def learning_rate(planned: Hyperparameters, base: BaseFacts, *, full: bool = False) -> float:
    """The peak rate of a low-rank adapter, which does not depend on the rank, or of all weights."""
    _, _, multiplier = resolved(planned)
    match planned:
        case DpoHyperparameters():
            share = PREFERENCE_RATE
        case ReinforcementHyperparameters():
            share = REINFORCEMENT_RATE
        case _:
            share = 1.0
    share *= FULL_RATE if full else 1.0
    return share * multiplier * RATE_AT_2000 * (2000 / base.hidden_size) ** RATE_EXPONENT


def warmup_steps(total_steps: int) -> int:
    """Five in a hundred, at most 100: enough for AdamW's second moment."""
    return min(100, total_steps // 20)


def validate_every(total_steps: int) -> int:
    """Steps between two looks at a few validation rows: about twenty looks a run."""
    return max(5, math.ceil(total_steps / 20))
