"""Keys and values of the rows that are being sampled: slots in one slab per layer, grown by doubling."""

import torch
from torch import Tensor

from afina.engine.attention import PackedLayout, Scoring, visible, weigh
from afina.engine.model import Model
from afina.engine.packing import Segment


class Cache:
    """Slots 0..n-1 are in use, so a step reads a view and copies nothing; `lengths` holds their tokens.

    Layers may differ in heads and head size: each gets its slab, [2, slots, heads, tokens, head size], when it first
    has something to keep.
    """

    def __init__(self, model: Model) -> None:
        self.model = model
        self.lengths: list[int] = []
        self.slabs: dict[int, Tensor] = {}
        self.room = (0, 0)

    def take(self, length: int) -> int:
        """A new slot, the last one, with room for `length` tokens; it counts as filled."""
        self._reserve(len(self.lengths) + 1, length)
        self.lengths.append(length)
        return len(self.lengths) - 1

    def extend(self) -> None:
        """Room for one more token in every slot."""
        self._reserve(len(self.lengths), max(self.lengths) + 1)
        self.lengths = [length + 1 for length in self.lengths]

    def slab(self, layer: int, keys: Tensor) -> Tensor:
        """The slab of a layer whose keys [1, heads, T, head size] look like these."""
        if layer not in self.slabs:
            slots, tokens = self.room
            self.slabs[layer] = keys.new_zeros((2, slots, keys.size(1), tokens, keys.size(3)))
        return self.slabs[layer]

    def release(self, slot: int) -> None:
        """Free a slot: the last one moves into its place. With the last row goes the memory that rows needed.

        What was there is wiped. Masked values are still multiplied, by zero, and zero times a NaN of a broken
        adapter would spoil the next row.
        """
        last = len(self.lengths) - 1
        used = max(self.lengths[slot], self.lengths[last])
        for slab in self.slabs.values():
            slab[:, slot, :, :used] = slab[:, last, :, :used]
            slab[:, last, :, :used] = 0
        self.lengths[slot] = self.lengths[last]
        self.lengths.pop()
        if not self.lengths:
            self.slabs, self.room = {}, (0, 0)

    def _reserve(self, slots: int, tokens: int) -> None:
        held_slots, held_tokens = self.room
        if slots <= held_slots and tokens <= held_tokens:
            return
        room = (_doubled(held_slots, slots, 1), _doubled(held_tokens, tokens, 64))
        self.slabs = {layer: _grown(slab, *room) for layer, slab in self.slabs.items()}
        self.room = room


def _doubled(held: int, needed: int, least: int) -> int:
    held = max(held, least)
    while held < needed:
        held *= 2
    return held


def _grown(slab: Tensor, slots: int, tokens: int) -> Tensor:
    _, held_slots, heads, held_tokens, size = slab.shape
    new = slab.new_zeros((2, slots, heads, tokens, size))
    new[:, :held_slots, :, :held_tokens] = slab
    return new


class Prefill(PackedLayout):
    """The prompt of one row as one segment, whose keys and values go into a slot."""

    def __init__(self, cache: Cache, slot: int) -> None:
        super().__init__([Segment(0, cache.lengths[slot], 0)], cache.model.device)
        self.cache, self.slot = cache, slot

    def attend(self, layer: int, qkv: tuple[Tensor, Tensor, Tensor], scoring: Scoring) -> Tensor:
        """As packed attention, remembering keys and values."""
        for part, values in zip(self.cache.slab(layer, qkv[1]), qkv[1:], strict=True):
            part[self.slot, :, : self.lengths[0]] = values[0]
        return super().attend(layer, qkv, scoring)


class Decode:
    """One new token for every slot, each attending to its own slot; the stream is [rows]."""

    def __init__(self, cache: Cache) -> None:
        self.cache = cache
        self.rows = torch.arange(len(cache.lengths), device=cache.model.device)
        self.last = torch.tensor(cache.lengths, device=cache.model.device) - 1
        self.longest = max(cache.lengths)
        self.masks: dict[int | None, Tensor] = {}

    def attend(self, layer: int, qkv: tuple[Tensor, Tensor, Tensor], scoring: Scoring) -> Tensor:
        """The query heads that share a key head are its queries: [rows, Hkv, Hq / Hkv, D]."""
        slab, rows = self.cache.slab(layer, qkv[1]), len(self.rows)
        for part, values in zip(slab, qkv[1:], strict=True):
            part[self.rows, :, self.last] = values[0].transpose(0, 1)
        keys, values = slab[:, :rows, :, : self.longest]
        _, heads, _, size = qkv[0].shape
        queries = qkv[0][0].transpose(0, 1).reshape(rows, keys.size(1), -1, size)
        out = weigh((queries, keys, values), self._mask(scoring.window), scoring)
        return out.reshape(rows, heads, size).transpose(0, 1)[None]

    def _mask(self, window: int | None) -> Tensor:
        if window not in self.masks:
            keys = torch.arange(self.longest, device=self.last.device)
            self.masks[window] = visible(self.last[:, None], keys, window)[:, None, None]
        return self.masks[window]
