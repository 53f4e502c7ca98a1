"""Keys and values of the rows that are being sampled: slots in one slab per layer, grown by doubling."""

import torch
from torch import Tensor

from afina.engine.attention import PackedLayout, Scoring, visible, weigh
from afina.engine.model import Model
from afina.engine.packing import Segment
from afina.engine.prefix_cache import Block


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

    def fork(self, slot: int) -> int:
        """A new slot that holds what this one does."""
        length = self.lengths[slot]
        new = self.take(length)
        for slab in self.slabs.values():
            slab[:, new, :, :length] = slab[:, slot, :, :length]
        return new

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

    def read(self, slot: int, start: int, end: int) -> Block:
        """A copy of what a slot holds of some of its tokens."""
        return {layer: slab[:, slot, :, start:end].clone() for layer, slab in self.slabs.items()}

    def write(self, slot: int, start: int, block: Block) -> None:
        """Put a block into a slot, from token `start` on."""
        for layer, values in block.items():
            self.slab(layer, values[:1])[:, slot, :, start : start + values.size(2)] = values

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
    """Prompts, each a segment whose keys and values go into a slot, after those that are in it already."""

    def __init__(self, cache: Cache, slots: list[int], held: list[int]) -> None:
        lengths = [cache.lengths[slot] - have for slot, have in zip(slots, held, strict=True)]
        segments = [Segment(0, length, have) for length, have in zip(lengths, held, strict=True)]
        super().__init__(segments, cache.model.device)
        self.cache, self.slots = cache, slots

    def attend(self, layer: int, qkv: tuple[Tensor, Tensor, Tensor], scoring: Scoring) -> Tensor:
        """As packed attention, over keys and values that stay."""
        slab, out = self.cache.slab(layer, qkv[1]), []
        for slot, segment, parts in zip(self.slots, self.segments, self._parts(qkv), strict=True):
            query, *fresh = parts
            kept = slab[:, slot, :, : segment.offset + segment.length]
            for part, values in zip(kept, fresh, strict=True):
                part[:, segment.offset :] = values[0]
            out.append(
                weigh((query, kept[0][None], kept[1][None]), self._mask(segment, scoring.window), scoring)
            )
        return torch.cat(out, dim=2)

    def _parts(self, qkv: tuple[Tensor, Tensor, Tensor]) -> "zip[tuple[Tensor, ...]]":
        """Queries, keys and values of each segment."""
        return zip(*(x.split(self.lengths, dim=2) for x in qkv), strict=True)


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
