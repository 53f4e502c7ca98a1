"""What is minimised: pure functions of log-probabilities, all with one signature.

A loss gets the log-probabilities of each sequence's supervised tokens, and those sequences, and answers with the SUM
over the sequences. The caller divides by the batch's denominator, so cutting a batch into passes changes nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
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


def preference(beta: float, references: Mapping[int, tuple[float, float]]) -> Loss:
    """Direct preference optimisation: the loss for pairs of answers, each pair a group (chosen, rejected).

    `references` has the summed log-probability of both under the reference, by group; `beta` says how dearly it
    costs to leave it. Source: Rafailov et al. 2023, "Direct Preference Optimization", equation 7.
    """

    def loss(logprobs: list[Tensor], sequences: list[Sequence]) -> Tensor:
        sums: dict[int, list[Tensor]] = {}
        for values, sequence in zip(logprobs, sequences, strict=True):
            assert sequence.group is not None, "a preference is a group of two"
            # Sums of hundreds of terms nearly cancel in a margin: in float32 their last bits are seen in the loss.
            sums.setdefault(sequence.group, []).append(values.double().sum())
        losses: list[Tensor] = []
        for group, (chosen, rejected) in sums.items():
            margin = beta * ((chosen - references[group][0]) - (rejected - references[group][1]))
            losses.append((-margin).logaddexp(margin.new_zeros(())))  # minus the log of the margin's sigmoid
        return sum(losses[1:], start=losses[0])

    return loss


def policy_gradient(
    advantages: Mapping[int, float], sampled: Mapping[int, tuple[float, ...]], *, clip: float = 0.2
) -> Loss:
    """Group-relative policy optimisation: what has an advantage is made likelier, and what has a disadvantage less so.

    Each reply is a group of its own, by which `advantages` has its advantage and `sampled` the log-probabilities that
    its tokens were drawn with. A token that has already moved by more than `clip` that way pulls no further.
    Source: Shao et al. 2024, "DeepSeekMath", equation 3, without its penalty.
    """

    def loss(logprobs: list[Tensor], sequences: list[Sequence]) -> Tensor:
        losses: list[Tensor] = []
        for values, sequence in zip(logprobs, sequences, strict=True):
            assert sequence.group is not None, "a reply is a group of one"
            ratio = (values - values.new_tensor(sampled[sequence.group])).exp()
            gain = advantages[sequence.group]
            losses.append(-(ratio * gain).minimum(ratio.clamp(1 - clip, 1 + clip) * gain).sum())
        return sum(losses[1:], start=losses[0])

    return loss


def _weights(sequence: Sequence) -> list[float]:
    return [sequence.weights[i] for i in sequence.supervised]
