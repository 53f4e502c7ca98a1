"""Forward and backward over one batch, pass by pass; and the same passes without a backward.

Each is a generator: at a `yield` the device may go to somebody else, and within a pass wherever it breathes. What it
returns is the answer.
"""

import math
from collections.abc import Generator
from dataclasses import dataclass, field

import torch
from torch import Tensor

from afina.engine.adapters import Adapter
from afina.engine.attention import Breath, PackedLayout, hold
from afina.engine.last_layer import needed
from afina.engine.losses import Loss
from afina.engine.model import Model
from afina.engine.packing import MicroBatch, Stream, cut, lay_out
from afina.engine.types import Batch, Logprobs, LossReport
from afina.errors import InvalidRequest


@dataclass(slots=True)
class _Sum:
    """What is added up over the passes of one batch."""

    loss: float = 0.0
    hits: float = 0.0
    weight: float = 0.0
    sums: list[float] = field(default_factory=list[float])


def forward_backward(
    model: Model, adapter: Adapter, batch: Batch, loss: Loss, *, breathe: Breath = hold
) -> Generator[None, None, LossReport]:
    """Add the batch's gradients to the adapter's; where it fails or is given up, the adapter has none."""
    check(model, batch)
    total = sum(s.weights[i] for s in batch.sequences for i in s.supervised)
    denominator = batch.denominator if batch.denominator is not None else total
    if not 0 < denominator < math.inf:
        raise InvalidRequest("A batch needs a token with a weight above 0, and a finite denominator above 0.")
    tally, done = _Sum(), False
    try:
        for micro in cut(batch):
            _learn(model, adapter, _Pass(batch, micro, loss, denominator, breathe), tally)
            yield
        done = True
    finally:
        if not done:
            adapter.discard_gradients()
    adapter.finite &= math.isfinite(tally.loss)
    accuracy = tally.hits / tally.weight if tally.weight else 0.0
    return LossReport(tally.loss / denominator, accuracy, tally.weight, tuple(tally.sums))


@dataclass(frozen=True, slots=True)
class _Pass:
    batch: Batch
    micro: MicroBatch
    loss: Loss
    denominator: float
    breathe: Breath


def _learn(model: Model, adapter: Adapter, one: _Pass, tally: _Sum) -> None:
    stream = lay_out(one.batch.sequences, one.micro)
    values, hits = model.logprobs(*_predicting(model, adapter, stream, one.breathe))
    members = [one.batch.sequences[i] for i in one.micro.members]
    scores = list(values.split(stream.counts))
    loss = one.loss(scores, members)
    (loss / one.denominator).backward()
    weights = torch.tensor(stream.weights, device=values.device)
    tally.loss += float(loss.detach())
    tally.hits += float((weights * hits).sum())
    tally.weight += float(weights.sum())
    tally.sums += torch.stack([score.detach().sum() for score in scores]).tolist()


def _predicting(
    model: Model, adapter: Adapter | None, stream: Stream, breathe: Breath
) -> tuple[Tensor, Tensor]:
    """The last hidden state [N, hidden] from which each prediction of the stream is made, and its target [N]."""
    layout = PackedLayout(stream.segments, model.device, breathe)
    shares = () if adapter is None else (adapter.share,)
    read = needed(stream.rows, model.device)
    hidden = model.hidden(stream.ids, stream.positions, layout, shares=shares, needed=read)
    rows, targets = (torch.tensor(x, device=model.device) for x in (stream.rows, stream.targets))
    # The row that predicts the first token of several children is there for each: index_select adds gradients.
    return hidden.index_select(0, rows), targets


def logprobs(
    model: Model, adapter: Adapter | None, batch: Batch, *, top: int = 0, breathe: Breath = hold
) -> Generator[None, None, list[Logprobs]]:
    """Scores of the supervised tokens of every sequence; a sequence without any has empty ones."""
    check(model, batch)
    answers = [Logprobs((), ())] * len(batch.sequences)
    for micro in cut(batch):
        stream = lay_out(batch.sequences, micro)
        with torch.inference_mode():
            hidden, targets = _predicting(model, adapter, stream, breathe)
            scores = model.ranked(hidden, targets, top) if top else model.logprobs(hidden, targets)
        parts = [x.cpu().split(stream.counts) for x in scores]
        for i, *part in zip(micro.members, *parts, strict=True):
            answers[i] = _answer(*part)
        yield
    return answers


def _answer(
    values: Tensor, hits: Tensor, ids: Tensor | None = None, scores: Tensor | None = None
) -> Logprobs:
    """One sequence's scores: values and hits [n], and where alternatives are wanted ids and scores [n, top]."""
    top = () if ids is None or scores is None else zip(ids.tolist(), scores.tolist(), strict=True)
    best = tuple(tuple(zip(*one, strict=True)) for one in top)
    return Logprobs(tuple(values.tolist()), tuple(hits.tolist()), best)


def check(model: Model, batch: Batch) -> None:
    """Raise InvalidRequest, naming the sequence, for anything the passes could not compute rightly."""
    reach: list[int] = []
    for n, sequence in enumerate(batch.sequences):
        parent = sequence.parent
        if parent is not None and not 0 <= parent < n:
            raise InvalidRequest(f"Sequence {n}: its parent must come before it.")
        if not sequence.ids or len(sequence.ids) != len(sequence.weights):
            raise InvalidRequest(f"Sequence {n}: it needs at least one id, and one weight for each id.")
        if not all(0 <= i < model.vocab_size for i in sequence.ids):
            raise InvalidRequest(f"Sequence {n}: an id is outside the vocabulary of {model.vocab_size}.")
        if not all(0 <= w < math.inf for w in sequence.weights):
            raise InvalidRequest(f"Sequence {n}: weights must be finite and not negative.")
        reach.append(len(sequence.ids) + (0 if parent is None else reach[parent]))
        if reach[n] > model.max_positions:
            raise InvalidRequest(
                f"Sequence {n}: {reach[n]} tokens with what it continues; the base model's "
                f"context is {model.max_positions}.",
                code="context_length_exceeded",
            )
