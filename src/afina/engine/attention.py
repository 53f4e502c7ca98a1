"""Attention as the engine wants it, registered with transformers: segment by segment, no [T, T] mask.

A pass brings a layout that knows which keys each token may see; the model's own modules do the rest.
"""

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


class Layout(Protocol):
    """Which keys and values each token of a pass attends to."""

    def attend(
        self, layer: int, qkv: tuple[Tensor, Tensor, Tensor], *, scale: float, window: int | None
    ) -> Tensor:
        """q [1, Hq, T, D] with k and v [1, Hkv, T, D] to [1, Hq, T, D]."""
        ...


class PackedLayout:
    """Each segment sees itself and the segments it continues; keys of a shared prefix are computed once."""

    def __init__(self, segments: list[Segment], device: torch.device) -> None:
        self.segments = segments
        self.lengths = [segment.length for segment in segments]
        self.device = device
        self.masks: dict[tuple[int, int, int | None], Tensor] = {}

    def attend(
        self, layer: int, qkv: tuple[Tensor, Tensor, Tensor], *, scale: float, window: int | None
    ) -> Tensor:
        """Split once, so that the gradients of a prefix add up over everything that continues it."""
        queries, keys, values = (x.split(self.lengths, dim=2) for x in qkv)
        out = []
        for i, segment in enumerate(self.segments):
            seen = (*segment.prefix, i)
            k = torch.cat([keys[j] for j in seen], dim=2) if segment.prefix else keys[i]
            v = torch.cat([values[j] for j in seen], dim=2) if segment.prefix else values[i]
            mask = self._mask(segment, window)
            causal = {"attn_mask": mask, "is_causal": mask is None, "scale": scale}
            out.append(
                F.scaled_dot_product_attention(
                    queries[i], k, v, enable_gqa=k.size(1) != qkv[0].size(1), **causal
                )
            )
        return torch.cat(out, dim=2)

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


def visible(query: Tensor, key: Tensor, window: int | None) -> Tensor:
    """True where position `query` sees position `key`: not later, and less than `window` before."""
    seen = key <= query
    return seen if window is None else seen & (key > query - window)


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
    **others: object,
) -> tuple[Tensor, None]:
    """What transformers calls. An argument that is not known here may change the result: it stops the pass."""
    unknown = {name for name, value in others.items() if value is not None} - _IRRELEVANT
    if unknown or dropout or attention_mask is not None:
        needed = ", ".join(sorted(unknown)) or "dropout or a mask"
        raise RunFailed(
            f"The base model's attention needs {needed}: not supported.", code="model_not_available"
        )
    out = layout.attend(
        cast(int, module.layer_idx), (query, key, value), scale=scaling, window=sliding_window
    )
    return out.transpose(1, 2).contiguous(), None


def _no_mask(**_: object) -> None:
    """Layouts know what is seen; transformers shall build nothing."""


def register() -> None:
    """Make the attention known to transformers under `NAME`; calling again changes nothing."""
    AttentionInterface.register(NAME, _attention)
    AttentionMaskInterface.register(NAME, _no_mask)
