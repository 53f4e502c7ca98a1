"""Attention as the engine wants it, registered with transformers: segment by segment, no [T, T] mask.

A pass brings a layout that knows which keys each token may see; the model's own modules do the rest.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import AttentionInterface, AttentionMaskInterface

from afina.engine.packing import Segment
from afina.errors import RunFailed

NAME = "afina"

# What transformers hands to every attention function and ours has no use for.
_IRRELEVANT = {"position_ids", "use_cache", "output_attentions", "output_hidden_states", "return_dict"}


Breath = Callable[[], None]


def hold() -> None:
    """The breath of a pass that nobody interrupts."""


@dataclass(frozen=True, slots=True)
class Scoring:
    """What a layer makes of the products of queries and keys before they become weights.

    Products are scaled, then bent below `softcap`; keys `window` or more tokens back are not seen; and each query
    head's sink, of `sinks` [Hq], takes weight like a key whose value is zero.
    """

    scale: float
    window: int | None = None
    softcap: float | None = None
    sinks: Tensor | None = None


class Layout(Protocol):
    """Which keys and values each token of a pass attends to."""

    def attend(self, layer: int, qkv: tuple[Tensor, Tensor, Tensor], scoring: Scoring) -> Tensor:
        """q [1, Hq, T, D] with k and v [1, Hkv, T, D] to [1, Hq, T, D]."""
        ...


class PackedLayout:
    """Each segment sees itself and the segments it continues; keys of a shared prefix are computed once.

    `breathe` is called at each layer, on the way forward and on the way back.
    """

    def __init__(self, segments: list[Segment], device: torch.device, breathe: Breath = hold) -> None:
        self.segments = segments
        self.lengths = [segment.length for segment in segments]
        self.device = device
        self.breathe = breathe
        self.masks: dict[tuple[int, int, int | None], Tensor] = {}

    def attend(self, layer: int, qkv: tuple[Tensor, Tensor, Tensor], scoring: Scoring) -> Tensor:
        """Split once, so that the gradients of a prefix add up over everything that continues it."""
        self.breathe()
        queries, keys, values = (_segments(x, self.lengths) for x in qkv)
        out = []
        for i, segment in enumerate(self.segments):
            seen = (*segment.prefix, i)
            k = torch.cat([keys[j] for j in seen], dim=2) if segment.prefix else keys[i]
            v = torch.cat([values[j] for j in seen], dim=2) if segment.prefix else values[i]
            out.append(weigh((queries[i], k, v), self._mask(segment, scoring.window), scoring))
        attended = torch.cat([x.transpose(1, 2) for x in out], dim=1).transpose(1, 2)
        if attended.requires_grad:
            attended.register_hook(lambda _: self.breathe())
        return attended

    def _mask(self, segment: Segment, window: int | None) -> Tensor | None:
        """[length, offset + length], True where a token is seen; None where plain causal attention does."""
        total = segment.offset + segment.length
        binding = window if window is not None and window < total else None
        if not segment.offset and binding is None:
            return None
        key = (segment.offset, segment.length, binding)
        if key not in self.masks:
            query = torch.arange(segment.offset, total, device=self.device)[:, None]
            self.masks[key] = visible(query, torch.arange(total, device=self.device), binding)
        return self.masks[key]


def _segments(x: Tensor, lengths: list[int]) -> list[Tensor]:
    """[1, H, T, D] cut along T. It lies in memory as [1, T, H, D], and so does its gradient then: neither is copied."""
    return [part.transpose(1, 2) for part in x.transpose(1, 2).split(lengths, dim=1)]


def visible(query: Tensor, key: Tensor, window: int | None) -> Tensor:
    """True where position `query` sees position `key`: not later, and less than `window` before."""
    seen = key <= query
    return seen if window is None else seen & (key > query - window)


def weigh(qkv: tuple[Tensor, Tensor, Tensor], mask: Tensor | None, scoring: Scoring) -> Tensor:
    """q [B, Hq, Tq, D] with k and v [B, Hkv, Tk, D] to [B, Hq, Tq, D]; no mask is the causal one of Tq = Tk.

    Torch's fused attention knows neither soft caps nor sinks; layers that have them pay for [Tq, Tk] scores.
    """
    if scoring.softcap is not None or scoring.sinks is not None:
        return _weigh_openly(qkv, mask, scoring)
    q, k, v = qkv
    shared = k.size(1) != q.size(1)
    causal = mask is None
    return F.scaled_dot_product_attention(
        q, k, v, attn_mask=mask, is_causal=causal, scale=scoring.scale, enable_gqa=shared
    )


def _weigh_openly(qkv: tuple[Tensor, Tensor, Tensor], mask: Tensor | None, scoring: Scoring) -> Tensor:
    q, k, v = qkv
    k, v = (x.repeat_interleave(q.size(1) // x.size(1), dim=1) for x in (k, v))
    scores = q @ k.transpose(2, 3) * scoring.scale
    if scoring.softcap is not None:
        scores = torch.tanh(scores / scoring.softcap) * scoring.softcap
    if mask is None:
        mask = torch.ones(scores.shape[2:], dtype=torch.bool, device=q.device).tril()
    scores = scores.masked_fill(~mask, float("-inf"))
    if scoring.sinks is not None:
        # One sink a query head, whether heads stand in their own dimension or in that of the queries.
        sinks = scoring.sinks.view(1, q.size(1), -1, 1).expand(*scores.shape[:3], 1)
        scores = torch.cat([scores, sinks], dim=3)
    weights = torch.softmax(scores, dim=3, dtype=torch.float32).to(v.dtype)
    return weights[..., : v.size(2)] @ v


def _attention(  # noqa: PLR0917 - transformers decides how it is called
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    *,
    layout: Layout,
    scaling: float,
    dropout: float = 0.0,
    sliding_window: int | None = None,
    softcap: float | None = None,
    s_aux: Tensor | None = None,
    **others: object,
) -> tuple[Tensor, None]:
    """What transformers calls. An argument that is not known here may change the result: it stops the pass."""
    unknown = {name for name, value in others.items() if value is not None} - _IRRELEVANT
    if unknown or dropout or attention_mask is not None or not getattr(module, "is_causal", True):
        needed = ", ".join(sorted(unknown)) or "dropout, a mask or a look ahead"
        raise RunFailed(
            f"The base model's attention needs {needed}: not supported.", code="model_not_available"
        )
    scoring = Scoring(scaling, sliding_window, softcap, s_aux)
    out = layout.attend(cast(int, module.layer_idx), (query, key, value), scoring)
    return out.transpose(1, 2).contiguous(), None


def _no_mask(**_: object) -> None:
    """Layouts know what is seen; transformers shall build nothing."""


def register() -> None:
    """Make the attention known to transformers under `NAME`; calling again changes nothing."""
    AttentionInterface.register(NAME, _attention)
    AttentionMaskInterface.register(NAME, _no_mask)
