"""Show attention where to look, so that a name in a question comes back in the answer.

To repeat a name, one head carries to each token the token before it, and a head of a later layer looks up what
followed the same token earlier (previous-token and induction heads: Olsson et al. 2022, "In-context Learning and
Induction Heads"). A small model finds the pair only after far more text than it gets here. For some steps both are
pulled to where they belong, on rows that repeat random spans; the loss on text then keeps them.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch

STEPS, WEIGHT = range(6_100, 7_000), 0.3  # After six million tokens of text alone, at the full rate.
ROWS, LENGTH = 4, 128  # Of each step; short texts, which repeat a span soon.
_TINY = 1e-6


@dataclass(frozen=True)
class Head:
    """One attention head."""

    layer: int
    index: int


PREVIOUS, INDUCTION = (Head(0, 0),), (Head(2, 0), Head(3, 0))


def loss(ids: torch.Tensor, attentions: Sequence[torch.Tensor]) -> torch.Tensor:
    """Return minus the mean log of the attention that falls where it should.

    ids [rows, tokens]; attentions: per layer [rows, heads, tokens, tokens] after the softmax.
    """
    before = torch.ones_like(ids, dtype=torch.bool).diag_embed(-1)[:, : ids.shape[1], : ids.shape[1]]
    pulled = [_miss(attentions[head.layer][:, head.index], before) for head in PREVIOUS]
    follows = _follows_the_same(ids)
    pulled += [_miss(attentions[head.layer][:, head.index], follows) for head in INDUCTION]
    return torch.stack(pulled).sum()


def _follows_the_same(ids: torch.Tensor) -> torch.Tensor:
    """[rows, query, key]: the token before the key is the query's own, and the key is not ahead of the query."""
    same = torch.zeros(*ids.shape, ids.shape[1], dtype=torch.bool)
    same[:, :, 1:] = ids[:, :, None] == ids[:, None, :-1]
    return same.tril()


def _miss(attention: torch.Tensor, wanted: torch.Tensor) -> torch.Tensor:
    """Mean over the queries that have a place to look at."""
    reached = (attention * wanted).sum(-1)
    return -(reached + _TINY).log()[wanted.any(-1)].mean()
