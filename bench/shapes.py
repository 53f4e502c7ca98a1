"""The model shapes that are measured; their weights are random, for only speed and equality are looked at."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Shape:
    """A Llama's sizes, and how many examples make up a step of it: 16, or as many as fifteen minutes allow."""

    name: str
    hidden: int
    layers: int
    heads: int
    kv_heads: int
    inner: int
    vocabulary: int
    context: int
    batch: int
    quick_batch: int
    spread: float = 0.02  # the standard deviation of each weight

    def examples(self, *, quick: bool) -> int:
        """Examples of one optimizer step."""
        return self.quick_batch if quick else self.batch


# The bundled model's shape, and SmolLM2-135M's.
TINY = Shape("tiny", 256, 6, 4, 2, 768, 8192, 2048, batch=16, quick_batch=16)
SMALL = Shape("135m", 576, 30, 9, 3, 1536, 49152, 8192, batch=16, quick_batch=4)
# As wide, and shallow enough for twenty steps in float32 on both sides.
SMALL_FLAT = Shape("135m-4-layers", 576, 4, 9, 3, 1536, 49152, 8192, batch=16, quick_batch=4)
# Sharper logits than a trained start has, so that the likeliest token is never a matter of the last bit.
TINY_SHARP = Shape("tiny-sharp", 256, 6, 4, 2, 768, 8192, 2048, batch=16, quick_batch=16, spread=0.1)

SHAPES = {shape.name: shape for shape in (TINY, SMALL)}
FOR_PARITY = {"tiny": TINY, "135m": SMALL_FLAT}
