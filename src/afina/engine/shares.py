"""Which adapter belongs to which rows of a pass: one product for each adapter, or for all of them side by side."""

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from afina.engine.adapters import Adapter
from afina.engine.lora import Gate, Pair, Share, Shares
from afina.engine.types import AdapterSpec

# Wider stacks multiply more by zero than the calls that they save are worth.
WIDEST = 256

Owners = Sequence[Adapter | None]


def apart(owners: Owners, device: torch.device) -> Shares:
    """The adapter of each place of a stream, grouped, so that each adapter's factors are multiplied once per pass."""
    return tuple(
        adapter.share
        if len(at) == len(owners)
        else replace(adapter.share, rows=torch.tensor(at, device=device))
        for adapter, at in places(owners)
    )


def places(owners: Owners) -> list[tuple[Adapter, list[int]]]:
    """Each adapter with its places."""
    groups: dict[int, tuple[Adapter, list[int]]] = {}
    for i, adapter in enumerate(owners):
        if adapter is not None:
            groups.setdefault(adapter.serial, (adapter, []))[1].append(i)
    return [groups[serial] for serial in sorted(groups)]


class Stack:
    """The factors of several adapters as two matrices a linear, kept while the same adapters are asked.

    A row's values under the others' factors are set to zero in between. For the few rows of a decode step, two products
    are cheaper than five calls for each adapter.
    """

    def __init__(self) -> None:
        self._of: list[tuple[int, int]] = []
        self._pairs: dict[str, Pair] | None = None

    def forget(self) -> None:
        """Give the memory back."""
        self._of, self._pairs = [], None

    def shares(self, owners: Owners, device: torch.device) -> Shares:
        """One share for all rows; one for each adapter where that is cheaper, or where one would spoil the others."""
        groups = places(owners)
        if len(groups) < 2:
            self.forget()
        if len(groups) < 2 or sum(rank(adapter) for adapter, _ in groups) > WIDEST:
            return apart(owners, device)
        now = [(adapter.serial, adapter.steps) for adapter, _ in groups]
        if now != self._of:
            self._of, self._pairs = now, stacked([adapter for adapter, _ in groups])
        if self._pairs is None:
            return apart(owners, device)
        return (Share(self._pairs, 1.0, gate=gate(groups, len(owners), device)),)


def rank(adapter: Adapter) -> int:
    """How many columns its factors take; none where it is the model's own weights."""
    return adapter.spec.rank if isinstance(adapter.spec, AdapterSpec) else 0


def stacked(adapters: list[Adapter]) -> dict[str, Pair] | None:
    """`a` [sum of ranks, in] and `b` [out, sum of ranks] of every linear; None where a number is not finite.

    Nothing times infinity is no number: a broken adapter would spoil every row.
    """
    if not all(bool(p.detach().isfinite().all()) for adapter in adapters for p in adapter.parameters):
        return None
    names = {name: pair for adapter in adapters for name, pair in adapter.share.pairs.items()}
    return {
        name: Pair(
            torch.cat([_factor(adapter, name, like=pair.a, dim=0) for adapter in adapters]),
            torch.cat([_factor(adapter, name, like=pair.b, dim=1) for adapter in adapters], dim=1),
        )
        for name, pair in names.items()
    }


def _factor(adapter: Adapter, name: str, *, like: Tensor, dim: int) -> Tensor:
    """One factor of a linear; zeros where the adapter does not change it."""
    if name in adapter.share.pairs:
        pair = adapter.share.pairs[name]
        return (pair.a, pair.b)[dim].detach()
    shape = list(like.shape)
    shape[dim] = rank(adapter)
    return like.new_zeros(shape)


def gate(groups: list[tuple[Adapter, list[int]]], rows: int, device: torch.device) -> Gate:
    """Each row's scale at its own adapter's columns, and where all other columns are: two [rows, sum of ranks]."""
    scales = torch.zeros(rows, sum(rank(adapter) for adapter, _ in groups))
    end = 0
    for adapter, at in groups:
        start, end = end, end + rank(adapter)
        scales[at, start:end] = adapter.share.scale
    scales = scales.to(device)
    return Gate(scales, scales == 0)
