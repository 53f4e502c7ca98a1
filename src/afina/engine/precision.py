"""Frozen weights kept in bfloat16 on a chip that does not multiply it: less memory, products in float32.

Half of it where all is linears; experts are no linears of torch's, and are widened for good. Without instructions for
it, torch multiplies bfloat16 at a tenth of float32's rate (measured on AVX2).
"""

import torch
from torch import Tensor, nn

from afina.engine.lora import LoraLinear
from afina.settings import multiplies_bf16


def multiplies(dtype: torch.dtype, device: torch.device) -> bool:
    """Whether products of this type are computed at full rate there."""
    return dtype == torch.float32 or device.type != "cpu" or multiplies_bf16()


def widen(network: nn.Module) -> torch.dtype:
    """Compute in float32, which is returned. Linears, embeddings and the head are widened where they are used only."""
    narrow = {
        id(module.weight) for module in network.modules() if isinstance(module, LoraLinear | nn.Embedding)
    }
    narrow.add(id(network.lm_head.weight))
    for module in network.modules():
        for tensor in (*module.parameters(recurse=False), *module.buffers(recurse=False)):
            if id(tensor) not in narrow and tensor.is_floating_point():
                tensor.data = tensor.data.float()
        if isinstance(module, nn.Embedding):
            module.register_forward_hook(_widened)
    return torch.float32


def _widened(module: nn.Module, given: tuple[Tensor, ...], vectors: Tensor) -> Tensor:
    return vectors.float()
