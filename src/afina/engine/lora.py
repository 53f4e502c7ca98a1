"""Linears that add an adapter's low-rank product to a frozen one, to the rows of the stream that ask for it.

Which adapter applies to which rows comes with the pass, so one code trains one adapter and samples from many.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F


@dataclass(frozen=True, slots=True)
class Pair:
    """The two factors for one linear: `a` is [rank, in], `b` is [out, rank]."""

    a: Tensor
    b: Tensor


@dataclass(frozen=True, slots=True)
class Gate:
    """What each row's low-rank values are multiplied by, and where they are set to zero instead: two [T, rank]."""

    scales: Tensor
    shut: Tensor


@dataclass(frozen=True, slots=True)
class Share:
    """The part of a pass that belongs to one adapter; `rows` are places in the stream, None means all of them.

    With a `gate`, the factors are those of several adapters side by side, of which each row has one.
    """

    pairs: Mapping[str, Pair]
    scale: float
    rows: Tensor | None = None
    gate: Gate | None = None

    def weighed(self, low: Tensor) -> Tensor:
        """Low-rank values [..., rank] as they enter the second product."""
        if self.gate is None:
            return low * self.scale
        return (low * self.gate.scales).masked_fill(self.gate.shut, 0.0)


Shares = tuple[Share, ...]


@dataclass(frozen=True, slots=True)
class Pass:
    """What the modules of the base model have to know of the pass that is running; no shares are the base model alone.

    `needed` are the places in a stream of `length` whose last hidden states are read; None means all of them. Layers
    that are `recomputed` keep nothing but their input for the way back.
    """

    shares: Shares = ()
    needed: Tensor | None = None
    length: int = 0
    recomputed: bool = False


class Routing:
    """The pass that is running, seen by every module that asks."""

    def __init__(self) -> None:
        self.now = Pass()

    @contextmanager
    def use(self, running: Pass) -> Iterator[None]:
        """Everything computed inside belongs to this pass; it may run in the middle of another."""
        before, self.now = self.now, running
        try:
            yield
        finally:
            self.now = before


class LoraLinear(nn.Module):
    """A frozen linear of the base model, under the name by which adapters know it."""

    def __init__(self, frozen: nn.Linear, name: str, routing: Routing) -> None:
        super().__init__()
        self.weight, self.bias = frozen.weight, frozen.bias
        self.name = name
        self.routing = routing

    def forward(self, x: Tensor) -> Tensor:
        """[1, T, in] to [1, T, out]."""
        shares = [
            (share, share.pairs[self.name]) for share in self.routing.now.shares if self.name in share.pairs
        ]
        if len(shares) == 1 and shares[0][0].rows is None and shares[0][0].gate is None:
            share, pair = shares[0]
            flat = x.flatten(0, -2)
            y = _Adapted.apply(flat, self.weight, self.bias, pair.a, pair.b, share.scale)
            return y.unflatten(0, x.shape[:-1])
        y = frozen_linear(x, self.weight, self.bias)
        for share, pair in shares:
            y = _add(y, x, share, pair)
        return y


def frozen_linear(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """[..., in] to [..., out] in the type of `x`; a weight of another type is widened each time, and not kept."""
    if weight.dtype == x.dtype:
        return F.linear(x, weight, bias)
    return _Widened.apply(x, weight, bias)


class _Widened(torch.autograd.Function):
    """By hand, because autograd would keep the wide copy of the weight until the way back."""

    @staticmethod
    def forward(ctx, x, weight, bias):
        ctx.save_for_backward(weight)
        return F.linear(x, weight.to(x.dtype), bias)

    @staticmethod
    def backward(ctx, grad):
        (weight,) = ctx.saved_tensors
        return grad @ weight.to(grad.dtype), None, None


class _Adapted(torch.autograd.Function):
    """x W' + bias + scale (x A') B' for a frozen W: [T, in] to [T, out].

    By hand, because autograd would make a tensor [T, out] for each of the product, its scaling and the sum.
    """

    @staticmethod
    def forward(ctx, x, weight, bias, a, b, scale):  # noqa: PLR0917 - autograd passes by position
        low = x.to(a.dtype) @ a.t()
        y = F.linear(x, weight.to(x.dtype), bias)
        _add_product(y, low, b.t(), scale)
        ctx.save_for_backward(x, weight, a, b, low)
        ctx.scale = scale
        return y

    @staticmethod
    def backward(ctx, grad):
        x, weight, a, b, low = ctx.saved_tensors
        grad_full = grad.to(b.dtype)
        grad_low = grad_full @ b
        grad_b = (grad_full.t() @ low).mul_(ctx.scale)
        grad_a = (grad_low.t() @ x.to(a.dtype)).mul_(ctx.scale)
        grad_x = None
        if ctx.needs_input_grad[0]:
            grad_x = grad @ weight.to(grad.dtype)
            _add_product(grad_x, grad_low, a, ctx.scale)
        return grad_x, None, None, grad_a, grad_b, None


def _add_product(to: Tensor, left: Tensor, right: Tensor, scale: float) -> None:
    """Add scale x left x right to a tensor in place, whatever its precision."""
    if to.dtype == left.dtype:
        to.addmm_(left, right, alpha=scale)
    else:
        to.add_((left @ right).to(to.dtype), alpha=scale)


def _add(y: Tensor, x: Tensor, share: Share, pair: Pair) -> Tensor:
    part = x if share.rows is None else x.index_select(1, share.rows)
    low = F.linear(part.to(pair.a.dtype), pair.a)
    delta = F.linear(share.weighed(low), pair.b).to(y.dtype)
    return y + delta if share.rows is None else y.index_add(1, share.rows, delta)


def wrap_linears(blocks: nn.Module, routing: Routing) -> dict[str, tuple[int, int]]:
    """Replace each linear inside `blocks`; answers with every name (`0.mlp.up_proj`) and its (in, out) features."""
    found = [(name, module) for name, module in blocks.named_modules() if isinstance(module, nn.Linear)]
    for name, module in found:
        parent, _, child = name.rpartition(".")
        setattr(blocks.get_submodule(parent), child, LoraLinear(module, name, routing))
    return {name: (module.in_features, module.out_features) for name, module in found}


def new_pairs(shapes: dict[str, tuple[int, int]], rank: int, generator: torch.Generator) -> dict[str, Pair]:
    """Fresh float32 factors: `a` uniform within 1/sqrt(in) as PEFT draws it, `b` zero, so no change yet."""
    pairs = {}
    for name, (features_in, features_out) in shapes.items():
        bound = features_in**-0.5
        a = (torch.rand(rank, features_in, generator=generator, dtype=torch.float32) * 2 - 1) * bound
        pairs[name] = Pair(
            nn.Parameter(a), nn.Parameter(torch.zeros(features_out, rank, dtype=torch.float32))
        )
    return pairs
