"""How much memory a run takes: an estimate of ours, from sizes alone.

It counts weights, what is trained with its gradient and AdamW's two moments, what the backward pass needs of one pass
of tokens, the scores of its supervised tokens, and what the process needs before any model is there.
"""

from afina.schemas.adapters import AnyAdapter, Full
from afina.training.plan import BaseFacts

PROCESS = 2**29
FROZEN_BYTES = 4  # a weight in float32
TRAINED_BYTES = 16  # weight, gradient and two moments in float32
SCORES = 2**26  # the engine's chunk of scores; larger batches of them are computed piece by piece
SCORE_BYTES = 3 * 4  # scores, their log-softmax and its gradient


def run_bytes(base: BaseFacts, adapter: AnyAdapter, *, tokens: int) -> int:
    """Bytes of a run, its largest pass `tokens` long."""
    return weights(base, adapter) + 4 * tokens * base.kept + scores(tokens, base.vocabulary) + PROCESS


def weights(base: BaseFacts, adapter: AnyAdapter) -> int:
    """The base, and what is trained beside it or of it."""
    if isinstance(adapter, Full):
        return TRAINED_BYTES * base.parameters
    targets = base.linears.keys() if adapter.targets is None else adapter.targets
    factors = adapter.rank * sum(base.linears[name] for name in targets)
    return FROZEN_BYTES * base.parameters + TRAINED_BYTES * factors


def scores(tokens: int, vocabulary: int) -> int:
    """What choosing among the vocabulary takes, where every token is supervised."""
    return min(tokens * vocabulary, SCORES) * SCORE_BYTES
