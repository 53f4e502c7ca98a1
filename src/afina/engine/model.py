"""The frozen base model: loaded from a directory of safetensors, run as one stream of tokens."""

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint
from transformers import AutoConfig, AutoModelForCausalLM, PretrainedConfig, PreTrainedModel
from transformers.utils import logging

from afina.engine import attention, footprint
from afina.engine.attention import Layout
from afina.engine.families import FAMILIES, ROPES, lacking
from afina.engine.footprint import SHARE, Footprint
from afina.engine.head import Scored
from afina.engine.last_layer import shorten
from afina.engine.lora import Pass, Routing, Shares, frozen_linear, wrap_linears
from afina.engine.precision import multiplies, widen
from afina.engine.recompute import recomputable
from afina.errors import InvalidRequest

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}

# Logits are computed in chunks of at most this many numbers (256 MB in float32).
CHUNK = 2**26


@dataclass(frozen=True, slots=True)
class Model:
    """The base model's parts that the engine drives, and the sizes it needs."""

    network: PreTrainedModel
    body: nn.Module
    head: nn.Linear
    logits_scaling: float
    logits_cap: float | None
    routing: Routing
    shapes: dict[str, tuple[int, int]]
    vocab_size: int
    max_positions: int
    parameters: int
    device: torch.device
    hidden_size: int
    layers: int
    footprint: Footprint
    computed: torch.dtype

    def hidden(
        self,
        ids: list[int],
        positions: list[int],
        layout: Layout,
        *,
        shares: Shares,
        needed: Tensor | None = None,
    ) -> Tensor:
        """Ids and positions of one stream, each [T], to last hidden states [T, hidden], right at least where needed."""
        stream = {
            "input_ids": torch.tensor([ids], device=self.device),
            "position_ids": torch.tensor([positions], device=self.device),
        }
        recomputed = torch.is_grad_enabled() and self.crowded(len(ids))
        with self.routing.use(Pass(shares, needed, len(ids), recomputed)):
            out = self.body(**stream, use_cache=False, layout=layout)
        return out.last_hidden_state[0]

    def crowded(self, tokens: int) -> bool:
        """Whether a training pass of so many tokens would keep more than a fair share of the memory that is free."""
        return self.footprint.kept(tokens) * self.computed.itemsize > SHARE * free_bytes(self.device)

    def logits(self, hidden: Tensor) -> Tensor:
        """[N, hidden] to [N, vocab] in float32, with the caps and multipliers that the family puts on them."""
        logits = frozen_linear(hidden, self.head.weight, self.head.bias)
        if self.logits_scaling != 1:
            logits = logits / self.logits_scaling
        if self.logits_cap is not None:
            logits = torch.tanh(logits / self.logits_cap) * self.logits_cap
        return logits.float()

    def logprobs(self, hidden: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        """Log-probability of each target from its row [N, hidden], and whether it was the arg-max: two [N]."""
        rows = max(1, CHUNK // self.vocab_size)
        score = self._score if len(targets) <= rows else self._score_again
        parts = [score(h, t) for h, t in zip(hidden.split(rows), targets.split(rows), strict=True)]
        values, hits = zip(*parts, strict=True)
        return torch.cat(values), torch.cat(hits)

    def ranked(self, hidden: Tensor, targets: Tensor, top: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """As `logprobs`, and the `top` likeliest ids of each row with their log-probabilities: two [N, top]."""
        rows = max(1, CHUNK // self.vocab_size)
        parts = []
        for some, wanted in zip(hidden.split(rows), targets.split(rows), strict=True):
            scores = torch.log_softmax(self.logits(some), dim=-1)
            values, ids = scores.topk(min(top, self.vocab_size), dim=-1)
            own = scores.gather(1, wanted[:, None])[:, 0]
            parts.append((own, scores.argmax(dim=-1) == wanted, ids, values))
        own, hits, ids, values = (torch.cat(x) for x in zip(*parts, strict=True))
        return own, hits, ids, values

    def _score(self, hidden: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        if self.logits_scaling == 1 and self.logits_cap is None and self.head.bias is None:
            return Scored.apply(hidden, self.head.weight, targets)
        logits = self.logits(hidden)
        values = torch.log_softmax(logits, dim=-1).gather(1, targets[:, None])[:, 0]
        return values, logits.detach().argmax(dim=-1) == targets

    def _score_again(self, hidden: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        """As `_score`, with the logits computed a second time in the backward pass instead of kept."""
        return checkpoint(self._score, hidden, targets, use_reentrant=False)


def load(base: Path, *, dtype: str = "float32", device: str = "cpu") -> Model:
    """Load a base directory: local files only, safetensors only, families shown exact only.

    Raises InvalidRequest for a family, rotary embedding or dtype that is not supported, or files that are missing.
    """
    config = _checked_config(base, dtype)
    attention.register()
    logging.disable_progress_bar()
    options = {"dtype": DTYPES[dtype], "attn_implementation": attention.NAME}
    strict = {"local_files_only": True, "use_safetensors": True, "trust_remote_code": False}
    network, info = AutoModelForCausalLM.from_pretrained(
        base, config=config, output_loading_info=True, **options, **strict
    )
    if info["missing_keys"] or info["mismatched_keys"]:
        raise InvalidRequest(
            "The base model's files lack tensors that its config.json promises.", param="model"
        )
    network.eval().to(device).requires_grad_(False)
    routing = Routing()
    shapes = wrap_linears(network.model.layers, routing)
    for layer in network.model.layers:
        recomputable(layer, routing)
    shorten(network.model.layers[-1], routing)
    computed = DTYPES[dtype]
    if not multiplies(computed, torch.device(device)):
        computed = widen(network)
    return Model(
        network=network,
        body=network.model,
        head=network.lm_head,
        logits_scaling=getattr(config, "logits_scaling", 1.0),
        logits_cap=getattr(config, "final_logit_softcapping", None),
        routing=routing,
        parameters=sum(p.numel() for p in network.parameters()),
        shapes=shapes,
        vocab_size=config.vocab_size,
        max_positions=config.max_position_embeddings,
        device=torch.device(device),
        hidden_size=config.hidden_size,
        layers=config.num_hidden_layers,
        footprint=_footprint(shapes, config),
        computed=computed,
    )


def _footprint(shapes: dict[str, tuple[int, int]], config: PretrainedConfig) -> Footprint:
    """By the largest layer; experts are no linears, and each token asks some of them."""

    def most(name: str, side: int, otherwise: int = 0) -> int:
        return max((s[side] for full, s in shapes.items() if full.endswith(name)), default=otherwise)

    queries, fused = most("o_proj", 0), most("qkv_proj", 1)
    wide = 0 if most("down_proj", 0) else config.intermediate_size * config.num_experts_per_tok
    return Footprint(
        layers=config.num_hidden_layers,
        hidden=config.hidden_size,
        queries=queries,
        keys=(fused - queries) // 2 if fused else most("k_proj", 1),
        intermediate=most("down_proj", 0, wide),
    )


def free_bytes(device: torch.device) -> int:
    """Memory of the device that nobody uses now."""
    return footprint.free() if device.type == "cpu" else torch.cuda.mem_get_info(device)[0]


def _checked_config(base: Path, dtype: str) -> PretrainedConfig:
    if dtype not in DTYPES:
        raise InvalidRequest(f"dtype must be one of {', '.join(DTYPES)}.", param="dtype")
    if not (base / "config.json").is_file() or not any(base.glob("*.safetensors")):
        raise InvalidRequest(
            "A base model is a directory with config.json and safetensors files.", param="model"
        )
    config = AutoConfig.from_pretrained(base, local_files_only=True, trust_remote_code=False)
    if config.model_type not in FAMILIES:
        raise InvalidRequest(
            f"Models of type {config.model_type} are not supported: {lacking(config.model_type)}. "
            f"Supported: {', '.join(FAMILIES)}.",
            param="model",
            code="model_not_available",
        )
    unknown = _ropes(config) - set(ROPES)
    if unknown:
        raise InvalidRequest(
            f"Rotary embeddings of type {', '.join(sorted(unknown))} are not supported, "
            f"only {', '.join(ROPES)}.",
            param="model",
            code="model_not_available",
        )
    return config


def _ropes(config: PretrainedConfig) -> set[str]:
    """The kinds of rotary embedding: one for all layers, or one for each type of layer."""
    given = config.rope_parameters
    by_type = [rope for rope in given.values() if isinstance(rope, dict)]
    return {rope.get("rope_type", "default") for rope in by_type or [given]}
