"""The next token of every row from its logits, all rows at once: the likeliest, or drawn by (seed, position) alone."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy
import torch
from torch import Tensor

from afina.engine.types import SamplingParams, Token


@dataclass(frozen=True, slots=True)
class Place:
    """Where a row stands: its parameters, the position of its next token, and the tokens it has made.

    `allowed` has a bit for each id, lowest first, where only some may follow.
    """

    params: SamplingParams
    position: int
    made: Sequence[int] = ()
    allowed: bytes | None = None


def choose(logits: Tensor, places: Sequence[Place]) -> list[Token | None]:
    """One token for each row of logits [rows, vocab]; None where they are not finite, or no id may follow.

    Log-probabilities are the model's own, before temperature, penalties, bias and what is allowed.
    """
    finite = logits.isfinite().all(dim=-1).tolist()
    possible = (place.allowed is None or any(place.allowed) for place in places)
    usable = [a and b for a, b in zip(finite, possible, strict=True)]
    weighed = _bounded(_weighed(logits, places), places)
    chosen = weighed.argmax(dim=-1)
    drawn = [i for i, place in enumerate(places) if place.params.temperature > 0 and usable[i]]
    if drawn:
        chosen[drawn] = draw(weighed[drawn], [places[i] for i in drawn])
    scores = logits.float() - logits.float().logsumexp(dim=-1, keepdim=True)
    own = scores.gather(1, chosen[:, None])[:, 0].tolist()
    tops = _tops(scores, places)
    made = zip(usable, chosen.tolist(), own, tops, strict=True)
    return [Token(id, logprob, top) if good else None for good, id, logprob, top in made]


def draw(logits: Tensor, places: Sequence[Place]) -> Tensor:
    """An id for each row, at its number of the cumulative distribution of what its parameters leave."""
    column = {"dtype": torch.float64, "device": logits.device}
    temperatures = torch.tensor([place.params.temperature for place in places], **column)[:, None]
    numbers = torch.tensor([uniform(place.params.seed, place.position) for place in places], **column)[
        :, None
    ]
    # In float64, and the largest at 0: the coldest temperature still leaves one number that counts.
    sharpened = (logits - logits.amax(dim=-1, keepdim=True)).double() / temperatures
    probabilities = torch.softmax(sharpened, dim=-1)
    chosen = _at(probabilities, numbers)
    # Sorting is dear, and a row must be drawn alike whether or not others beside it need it.
    cut = [i for i, place in enumerate(places) if not _keeps_all(place.params)]
    if cut:
        ordered, ids = probabilities[cut].sort(dim=-1, descending=True, stable=True)
        at = _at(_kept(ordered, [places[i] for i in cut]), numbers[cut])
        chosen[cut] = ids.gather(1, at[:, None])[:, 0]
    return chosen


def _at(weights: Tensor, numbers: Tensor) -> Tensor:
    """The first place of each row [rows, n] where the running sum passes its number of the whole."""
    running = weights.cumsum(dim=-1)
    whole = running[:, -1:]
    found = torch.searchsorted(running, numbers * whole, right=True)
    # Rounding may put the number at the very end: then the last place that weighs anything.
    return torch.minimum(found, (running < whole).sum(dim=-1, keepdim=True))[:, 0]


def _keeps_all(params: SamplingParams) -> bool:
    return params.top_p == 1 and params.top_k is None and params.min_p == 0


def _kept(ordered: Tensor, places: Sequence[Place]) -> Tensor:
    """Descending probabilities [rows, vocab] with those that top_p, top_k and min_p cut off at zero."""
    column = {"dtype": ordered.dtype, "device": ordered.device}
    top_p = torch.tensor([place.params.top_p for place in places], **column)[:, None]
    min_p = torch.tensor([place.params.min_p for place in places], **column)[:, None]
    most = [place.params.top_k or ordered.size(1) for place in places]
    rank = torch.arange(ordered.size(1), device=ordered.device)
    kept = (ordered.cumsum(dim=-1) - ordered < top_p) & (ordered >= min_p * ordered[:, :1])
    return ordered * (kept & (rank < torch.tensor(most, device=ordered.device)[:, None]))


def _weighed(logits: Tensor, places: Sequence[Place]) -> Tensor:
    """Logits with each row's bias and penalties: minus so much for a token that was made, and for each time."""
    if not any(_weighs(place) for place in places):
        return logits
    weighed = logits.float().clone()
    for row, place in zip(weighed, places, strict=True):
        params = place.params
        if params.frequency_penalty or params.presence_penalty:
            made, counts = torch.tensor(place.made, device=row.device, dtype=torch.long).unique(
                return_counts=True
            )
            row[made] -= params.frequency_penalty * counts + params.presence_penalty
        if params.bias:
            row[list(params.bias)] += torch.tensor(list(params.bias.values()), device=row.device)
    return weighed


def _bounded(logits: Tensor, places: Sequence[Place]) -> Tensor:
    """Logits with minus infinity for what may not follow in a row."""
    held = [i for i, place in enumerate(places) if place.allowed is not None]
    if not held:
        return logits
    bits = numpy.frombuffer(b"".join(places[i].allowed or b"" for i in held), numpy.uint8)
    may = numpy.unpackbits(bits.reshape(len(held), -1), axis=1, count=logits.size(1), bitorder="little")
    barred = torch.from_numpy(may == 0).to(logits.device)
    bounded = logits.clone()
    for i, row in zip(held, barred, strict=True):
        bounded[i].masked_fill_(row, -torch.inf)
    return bounded


def _weighs(place: Place) -> bool:
    params = place.params
    return bool(params.bias or params.frequency_penalty or params.presence_penalty)


def _tops(scores: Tensor, places: Sequence[Place]) -> list[tuple[tuple[int, float], ...]]:
    """The likeliest ids of each row with their log-probabilities, as many as it asks for."""
    most = min(max((place.params.logprobs or 0 for place in places), default=0), scores.size(1))
    if not most:
        return [()] * len(places)
    values, ids = (part.tolist() for part in scores.topk(most, dim=-1))
    asked = (place.params.logprobs or 0 for place in places)
    return [tuple(zip(i[:n], v[:n], strict=True)) for i, v, n in zip(ids, values, asked, strict=True)]


def uniform(seed: int, position: int) -> float:
    """A number in [0, 1) that depends on these two and nothing else."""
    digest = hashlib.blake2b(f"{seed}:{position}".encode(), digest_size=8).digest()
    return (int.from_bytes(digest) >> 11) * 2.0**-53
