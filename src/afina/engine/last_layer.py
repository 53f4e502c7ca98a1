"""In the last layer, what follows attention is computed only for the rows that a token is predicted from.

Prompts are most of what is trained on, and nobody reads their last hidden states. Exact: neither part looks beyond its
own row.
"""

import torch
from torch import Tensor, nn

from afina.engine.lora import Routing

PARTS = ("self_attn.o_proj", "mlp")


def shorten(layer: nn.Module, routing: Routing) -> None:
    """Let the parts of the last layer compute what the pass needs; the other rows come out as zeros."""

    def select(part: nn.Module, given: tuple[Tensor, ...]) -> tuple[Tensor, ...] | None:
        rows = routing.now.needed
        return None if rows is None else (given[0].index_select(1, rows), *given[1:])

    def place(part: nn.Module, given: tuple[Tensor, ...], out: Tensor | tuple[Tensor, ...]) -> object:
        rows, length = routing.now.needed, routing.now.length
        if rows is None:
            return None
        # A mixture of experts also says which of them it has asked.
        whole = _among_zeros(out[0] if isinstance(out, tuple) else out, rows, length)
        return (whole, *out[1:]) if isinstance(out, tuple) else whole

    for name in PARTS:
        part = layer.get_submodule(name)
        part.register_forward_pre_hook(select)
        part.register_forward_hook(place)


def _among_zeros(some: Tensor, rows: Tensor, length: int) -> Tensor:
    """[1, N, hidden] at their places in [1, length, hidden]."""
    return some.new_zeros(1, length, some.size(2)).index_copy(1, rows, some)


def needed(rows: list[int], device: torch.device) -> Tensor:
    """Each row once, in order."""
    return torch.tensor(sorted(set(rows)), device=device)
