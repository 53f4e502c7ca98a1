"""Layers that are computed again on the way back, where a pass would keep more than there is memory for.

The same operations in the same order: on a CPU the gradients are the same, bit by bit.
"""

import weakref

from torch import nn
from torch.utils.checkpoint import checkpoint

from afina.engine.lora import Routing


def recomputable(layer: nn.Module, routing: Routing) -> None:
    """Let a decoder layer keep nothing but its input in passes that say so."""
    itself, plain = (
        weakref.ref(layer),
        type(layer).forward,
    )  # A layer that held itself would outlive its model.

    def forward(*given: object, **named: object) -> object:
        return plain(itself(), *given, **named)

    def run(*given: object, **named: object) -> object:
        running = routing.now
        if not running.recomputed:
            return forward(*given, **named)

        def again(*given: object, **named: object) -> object:
            with routing.use(running):  # The pass has ended when its way back begins.
                return forward(*given, **named)

        return checkpoint(again, *given, use_reentrant=False, preserve_rng_state=False, **named)

    layer.forward = run
