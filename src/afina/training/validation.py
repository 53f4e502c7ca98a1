"""Loss and token accuracy on the validation file: a few rows now and then, all of them when an epoch ends."""

from afina.data.tokens import TokenFile
from afina.engine.engine import Engine
from afina.engine.prefixes import share_prefixes
from afina.engine.types import Logprobs, Sequence
from afina.schemas.fine_tuning import StepMetrics
from afina.schemas.runs import RunSpec
from afina.training.batches import sequence

AT_ONCE = 32  # sequences per call, so that other runs and chats get their turn in between


class Validation:
    """Reads the validation file once and measures on it."""

    def __init__(self, spec: RunSpec):
        assert spec.validation_tokens is not None
        data = TokenFile.open(spec.validation_tokens)
        self.spec = spec
        self.sequences = [sequence(data, row) for row in range(len(data))]

    async def measure(self, engine: Engine, metrics: StepMetrics, *, whole: bool) -> StepMetrics:
        """`metrics` with the validation figures that are due at its step."""
        if whole:
            loss, accuracy = await self.over(engine, self.sequences)
            figures = {"full_valid_loss": loss, "full_valid_mean_token_accuracy": accuracy}
            return metrics.model_copy(update=figures)
        if metrics.step % self.spec.validate_every:
            return metrics
        rows = looked_at(self.spec, metrics.step, rows=len(self.sequences))
        loss, accuracy = await self.over(engine, [self.sequences[row] for row in rows])
        return metrics.model_copy(update={"valid_loss": loss, "valid_mean_token_accuracy": accuracy})

    async def over(self, engine: Engine, sequences: list[Sequence]) -> tuple[float, float]:
        """(mean negative log-likelihood, share of arg-max hits) over the supervised tokens, by their weights."""
        loss = hits = weight = 0.0
        for first in range(0, len(sequences), AT_ONCE):
            some = list(share_prefixes(tuple(sequences[first : first + AT_ONCE])))
            scores = await engine.logprobs(self.spec.adapter, some, token_budget=self.spec.token_budget)
            for of, logprobs in zip(some, scores, strict=True):
                nll, right, total = weighted(of, logprobs)
                loss, hits, weight = loss + nll, hits + right, weight + total
        return loss / weight, hits / weight


def looked_at(spec: RunSpec, step: int, *, rows: int) -> list[int]:
    """The numbers of a batch's worth of rows, walking through the file as the steps go on."""
    size = min(spec.batch_size, rows)
    first = (step // spec.validate_every - 1) * size
    return [(first + i) % rows for i in range(size)]


def weighted(of: Sequence, logprobs: Logprobs) -> tuple[float, float, float]:
    """(summed negative log-likelihood, summed hits, summed weight) of one sequence."""
    weights = [of.weights[i] for i in of.supervised]
    nll = -sum(w * value for w, value in zip(weights, logprobs.values, strict=True))
    hits = sum(w for w, hit in zip(weights, logprobs.argmax, strict=True) if hit)
    return nll, hits, sum(weights)
