"""Log-probabilities of given tokens from hidden states, with a backward that holds one [N, vocab] tensor."""

import torch
from torch import Tensor
from torch.nn import functional as F


class Scored(torch.autograd.Function):
    """Hidden states [N, hidden], a head [vocab, hidden] and ids [N] to log-probabilities and arg-max hits.

    By hand, because autograd would keep logits and log-probabilities, and walk over both once more.
    """

    @staticmethod
    def forward(ctx, hidden: Tensor, weight: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        """Two tensors [N]; only probabilities, up to a factor a row, are kept for the backward."""
        scores = F.linear(hidden, weight.to(hidden.dtype)).float()
        highest, likeliest = scores.max(dim=-1)
        scores -= highest[:, None]
        own = scores.gather(1, targets[:, None])[:, 0]
        scores.exp_()
        total = scores.sum(dim=-1)
        hits = likeliest == targets
        ctx.save_for_backward(scores, total, weight, targets, hidden if ctx.needs_input_grad[1] else None)
        ctx.mark_non_differentiable(hits)
        ctx.dtype = hidden.dtype
        return own - total.log(), hits

    @staticmethod
    def backward(ctx, grad: Tensor, _: Tensor) -> tuple[Tensor, Tensor | None, None]:
        """The gradient of the hidden states, and of the head unless it is frozen."""
        scores, total, weight, targets, hidden = ctx.saved_tensors
        grad_scores = scores * (-grad / total)[:, None]
        grad_scores.scatter_add_(1, targets[:, None], grad[:, None])
        grad_scores = grad_scores.to(ctx.dtype)
        grad_weight = None if hidden is None else grad_scores.t() @ hidden
        return grad_scores @ weight.to(ctx.dtype), grad_weight, None
