"""How the engine's passes are compared with plain transformers: run to their end, summed up by a plain loop."""

from collections.abc import Callable, Generator
from typing import TypeVar

import torch

from afina.engine.types import Batch

Answer = TypeVar("Answer")


def finish(work: Generator[None, None, Answer]) -> Answer:
    """Run a request's units to the end and take what it returns."""
    while True:
        try:
            next(work)
        except StopIteration as end:
            return end.value


def difference(ours: torch.Tensor, theirs: torch.Tensor) -> float:
    return float((ours - theirs).norm() / theirs.norm())


def plain_loss(
    network: torch.nn.Module,
    one_by_one: Callable[[torch.nn.Module, Batch], list[torch.Tensor]],
    batch: Batch,
) -> float:
    """The loss as a plain loop over the sequences has it; its gradients stay in the network."""
    total = sum(s.weights[i] for s in batch.sequences for i in s.supervised)
    losses = [
        -(values * torch.tensor([s.weights[i] for i in s.supervised])).sum() / total
        for values, s in zip(one_by_one(network, batch), batch.sequences, strict=True)
    ]
    loss = torch.stack(losses).sum()
    loss.backward()
    return float(loss.detach())
