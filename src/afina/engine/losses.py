"""What is minimised: pure functions of log-probabilities, all with one signature.

A loss gets the log-probabilities of each sequence's supervised tokens, and those sequences, and answers with the SUM
over the sequences. The caller divides by the batch's denominator, so cutting a batch into passes changes nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, TypeAlias

from afina.engine.types import Sequence

if TYPE_CHECKING:
    from torch import Tensor

Loss: TypeAlias = "Callable[[list[Tensor], list[Sequence]], Tensor]"


def cross_entropy(logprobs: list[Tensor], sequences: list[Sequence]) -> Tensor:
    """Next-token loss: minus the weighted log-probability of every supervised token."""
    losses = [
        -(values * values.new_tensor(_weights(s))).sum()
        for values, s in zip(logprobs, sequences, strict=True)
    ]
    return sum(losses[1:], start=losses[0])


def _weights(sequence: Sequence) -> list[float]:
    return [sequence.weights[i] for i in sequence.supervised]
