"""Keys and values of what prompts began with: a prompt that begins like an earlier one computes only the rest.

They are kept in blocks of 32 tokens, by least recent use. A block is named by all that its values depend on.
"""

from array import array
from collections import OrderedDict
from hashlib import sha256

from torch import Tensor

from afina.engine.adapters import Adapter

BLOCK = 32
ROOM = 128 * 2**20  # bytes

# The keys and values of one block by layer, each [2, heads, BLOCK, head size].
Block = dict[int, Tensor]


def names(adapter: Adapter | None, ids: list[int], salt: str) -> list[bytes]:
    """A name for each whole block of `ids`: it covers salt, adapter as it is now, and every id from the first on."""
    name = (salt if adapter is None else f"{salt} {adapter.serial} {adapter.steps}").encode()
    found: list[bytes] = []
    for end in range(BLOCK, len(ids) + 1, BLOCK):
        name = sha256(name + array("q", ids[end - BLOCK : end]).tobytes()).digest()
        found.append(name)
    return found


class PrefixCache:
    """Blocks by name, up to `room` bytes."""

    def __init__(self, room: int = ROOM) -> None:
        self.room, self.size = room, 0
        self.blocks: OrderedDict[bytes, Block] = OrderedDict()

    def known(self, wanted: list[bytes]) -> int:
        """How many of these, one continuing another, are here without a gap."""
        return next((i for i, name in enumerate(wanted) if name not in self.blocks), len(wanted))

    def read(self, wanted: list[bytes]) -> list[Block]:
        """Known blocks. The first become the most recently used: without them the others are of no use."""
        for name in reversed(wanted):
            self.blocks.move_to_end(name)
        return [self.blocks[name] for name in wanted]

    def keep(self, name: bytes, block: Block) -> None:
        """Add a block, or use one again that is here behind a gap; the least recently used make room for it."""
        if name in self.blocks:
            self.blocks.move_to_end(name)
            return
        self.blocks[name] = block
        self.size += _size(block)
        while self.size > self.room:
            _, oldest = self.blocks.popitem(last=False)
            self.size -= _size(oldest)


def _size(block: Block) -> int:
    return sum(values.nbytes for values in block.values())
