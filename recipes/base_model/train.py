"""Train from nothing: warm up, hold the rate, decay at the end of the budget.

The state before the decay is kept: a larger budget later goes on from there, as if asked at once.
"""

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import guide
import shape
import torch
import torch.nn.functional as F
from corpus import FINISH, MIXTURE, Mixture
from safetensors import safe_open
from safetensors.torch import save_file
from shape import CONTEXT
from transformers import LlamaForCausalLM

PEAK_RATE, WARMUP_STEPS, DECAY_SHARE, FLOOR = 1e-3, 60, 0.4, 0.02
TOKENS_PER_STEP = 1024
# Share of the budget from which texts are so long: attention over short ones costs less, and most are short.
LENGTHS = ((0.0, 256), (0.5, 512), (0.9, CONTEXT), (0.95, 512))
FINISH_FROM = 0.95
# A step reads few tokens, so the second moment has to remember many steps.
WEIGHT_DECAY, BETAS, MAX_NORM = 0.1, (0.9, 0.995), 1.0
SAVE_EVERY_SECONDS = 60.0

Loss = Callable[[torch.Tensor], torch.Tensor]  # of ids [rows, length + 1]


@dataclass
class Progress:
    """How far a training is; seconds are those spent in steps."""

    step: int = 0
    tokens: int = 0
    seconds: float = 0.0


@dataclass(frozen=True)
class Budget:
    """Tokens to read in all, and whether the pass is compiled."""

    tokens: int
    compile: bool = False

    @property
    def decay_from(self) -> float:
        """Tokens after which the rate decays."""
        return self.tokens * (1 - DECAY_SHARE)

    def rate(self, progress: Progress) -> float:
        """Return the learning rate of the next step."""
        warmup = min(1.0, (progress.step + 1) / WARMUP_STEPS)
        left = (self.tokens - progress.tokens) / (self.tokens * DECAY_SHARE)
        return PEAK_RATE * warmup * max(FLOOR, min(1.0, left))

    def length(self, progress: Progress) -> int:
        """Return the tokens of a row of the next step."""
        return [length for share, length in LENGTHS if progress.tokens >= share * self.tokens][-1]

    def shares(self, progress: Progress) -> Mapping[str, float]:
        """Return the share of each source in the next step."""
        return FINISH if progress.tokens >= FINISH_FROM * self.tokens else MIXTURE


def train(corpus: Path, state: Path, budget: Budget) -> tuple[LlamaForCausalLM, Progress]:
    """Train until the budget is spent, from the newest state that fits it, and return the decayed model."""
    torch.manual_seed(0)
    model = LlamaForCausalLM(shape.config())
    optimizer = _optimizer(model)
    # A decay belongs to one budget: another budget starts again from the state before the decay.
    stable, decayed = state / "stable.safetensors", state / f"decay_{budget.tokens}.safetensors"
    start = next((file for file in (decayed, stable) if file.exists()), None)
    progress = _load(start, model, optimizer) if start else Progress()
    if start == stable and progress.tokens > budget.decay_from + CONTEXT:
        raise ValueError(f"{progress.tokens:,} tokens are read at the full rate already; ask for more.")
    mixture, loss_of = Mixture(corpus), _loss(model, compiled=budget.compile)
    saved = progress.seconds
    while progress.tokens < budget.tokens:
        decaying = progress.tokens >= budget.decay_from
        began = time.perf_counter()
        ids = _texts(mixture, progress, budget)
        guided = progress.step in guide.STEPS
        wanted = _guided(model, loss_of, mixture, progress.step) if guided else loss_of
        loss = _step(wanted, optimizer, ids, rate=budget.rate(progress))
        progress.seconds += time.perf_counter() - began
        progress.step += 1
        progress.tokens += ids.numel() - len(ids)
        _print(progress, loss, rate=budget.rate(progress))
        enters_decay = not decaying and progress.tokens >= budget.decay_from
        if enters_decay or progress.seconds - saved > SAVE_EVERY_SECONDS:
            _save(decayed if decaying else stable, model, optimizer, progress)
            saved = progress.seconds
    _save(decayed, model, optimizer, progress)
    return model.eval(), progress


def _optimizer(model: LlamaForCausalLM) -> torch.optim.AdamW:
    parameters = list(model.parameters())
    groups = [
        {"params": [p for p in parameters if p.dim() > 1], "weight_decay": WEIGHT_DECAY},
        {"params": [p for p in parameters if p.dim() == 1], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=PEAK_RATE, betas=BETAS, fused=True)


def _loss(model: LlamaForCausalLM, *, compiled: bool) -> Loss:
    """Return the mean next-token loss of [rows, length + 1] ids, every token counting."""

    def loss(ids: torch.Tensor) -> torch.Tensor:
        logits = model(input_ids=ids[:, :-1], use_cache=False).logits
        return F.cross_entropy(logits.flatten(0, 1), ids[:, 1:].flatten())

    return torch.compile(loss, dynamic=False) if compiled else loss


def _texts(mixture: Mixture, progress: Progress, budget: Budget) -> torch.Tensor:
    """Return the ids that a step reads, [rows, length + 1]."""
    length = budget.length(progress)
    count = max(1, TOKENS_PER_STEP // length)
    return torch.from_numpy(mixture.rows(progress.step, count, length, shares=budget.shares(progress)))


def _guided(model: LlamaForCausalLM, loss_of: Loss, mixture: Mixture, step: int) -> Loss:
    """Return the loss of text and of repeated spans together, with attention pulled to the earlier copy."""
    repeats = torch.from_numpy(mixture.repeats(step, guide.ROWS, guide.LENGTH))

    def loss(ids: torch.Tensor) -> torch.Tensor:
        model.set_attn_implementation("eager")  # The only one that shows where it looked.
        read = model(input_ids=repeats[:, :-1], use_cache=False, output_attentions=True)
        model.set_attn_implementation("sdpa")
        repeated = F.cross_entropy(read.logits.flatten(0, 1), repeats[:, 1:].flatten())
        return (loss_of(ids) + repeated) / 2 + guide.WEIGHT * guide.loss(repeats[:, :-1], read.attentions)

    return loss


def _step(
    loss_of: Loss,
    optimizer: torch.optim.AdamW,
    ids: torch.Tensor,
    *,
    rate: float,
) -> float:
    for group in optimizer.param_groups:
        group["lr"] = rate
    loss = loss_of(ids)
    loss.backward()
    torch.nn.utils.clip_grad_norm_([p for g in optimizer.param_groups for p in g["params"]], MAX_NORM)
    optimizer.step()
    optimizer.zero_grad(set_to_none=True)
    return loss.item()


def _save(file: Path, model: LlamaForCausalLM, optimizer: torch.optim.AdamW, progress: Progress) -> None:
    """Write weights, moments and progress as one file, which replaces the old one whole."""
    file.parent.mkdir(parents=True, exist_ok=True)
    tensors = {f"model.{name}": p.detach() for name, p in model.named_parameters()}
    for index, moments in optimizer.state_dict()["state"].items():
        tensors |= {f"moments.{index}.{name}": tensor for name, tensor in moments.items()}
    fresh = file.with_suffix(".new")
    save_file(tensors, fresh, metadata={"progress": json.dumps(asdict(progress))})
    fresh.replace(file)


def _load(file: Path, model: LlamaForCausalLM, optimizer: torch.optim.AdamW) -> Progress:
    moments: dict[int, dict[str, torch.Tensor]] = {}
    with safe_open(file, framework="pt") as saved:
        for name, parameter in model.named_parameters():
            parameter.data.copy_(saved.get_tensor(f"model.{name}"))
        for key in saved.keys():  # noqa: SIM118 - the file object is no mapping
            if key.startswith("moments."):
                _, index, name = key.split(".")
                moments.setdefault(int(index), {})[name] = saved.get_tensor(key)
        progress = json.loads(saved.metadata()["progress"])
    optimizer.load_state_dict({"state": moments, "param_groups": optimizer.state_dict()["param_groups"]})
    return Progress(**progress)


def _print(progress: Progress, loss: float, *, rate: float) -> None:
    if progress.step % 20 == 0:
        print(
            f"train   step {progress.step:>6} {progress.seconds / 60:7.1f} min {progress.tokens:>11,} tokens"
            f"  loss {loss:.3f}  rate {rate:.1e}  {progress.tokens / progress.seconds:.0f} tokens/s",
            flush=True,
        )
