"""One stream of tokens out of many sequences: shared prefixes once, cut into passes of a fixed budget."""

from dataclasses import dataclass, field

from afina.engine.types import Batch, Sequence

# A prefix is at most a third of a pass that has more to hold: computing it in each costs half as much again.
PREFIX_PARTS = 3


@dataclass(slots=True)
class MicroBatch:
    """Sequences of one pass: `members` are scored, `present` also holds the prefixes that they continue."""

    members: list[int] = field(default_factory=list)
    present: set[int] = field(default_factory=set)
    tokens: int = 0


@dataclass(frozen=True, slots=True)
class Segment:
    """A run of the stream; `prefix` are the segments it continues, root first, `offset` tokens altogether."""

    start: int
    length: int
    offset: int
    prefix: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Stream:
    """What one pass computes: T tokens, N predictions made from `rows`, `counts` of them for each member."""

    ids: list[int]
    positions: list[int]
    segments: list[Segment]
    rows: list[int]
    targets: list[int]
    weights: list[float]
    counts: list[int]


def cut(batch: Batch) -> list[MicroBatch]:
    """Passes within the token budget, in the batch's order; groups stay together, prefixes come along.

    Depends on the batch alone. A prefix needed by several passes is computed in each, but scored in one: so that it
    does not fill all of them, a pass may be `PREFIX_PARTS` times as long as what it has of it already.
    """
    passes: list[MicroBatch] = []
    for unit in _units(batch.sequences):
        needed = {a for i in unit for a in lineage(batch.sequences, i)}
        if not passes or not _fits(batch, passes[-1], needed):
            passes.append(MicroBatch())
        last = passes[-1]
        last.tokens += _tokens(batch, needed - last.present)
        last.present |= needed
        last.members += unit
    return passes


def _fits(batch: Batch, one: MicroBatch, needed: set[int]) -> bool:
    """Whether sequences have room in a pass: more of it where the next one would compute again what they continue."""
    room = max(batch.token_budget, PREFIX_PARTS * _tokens(batch, needed & one.present))
    return one.tokens + _tokens(batch, needed - one.present) <= room


def _units(sequences: tuple[Sequence, ...]) -> list[list[int]]:
    """What must not be torn apart: each group, and each supervised sequence that is in none."""
    units: dict[tuple[str, int], list[int]] = {}
    for i, sequence in enumerate(sequences):
        if sequence.supervised:
            key = ("alone", i) if sequence.group is None else ("group", sequence.group)
            units.setdefault(key, []).append(i)
    return list(units.values())


def _tokens(batch: Batch, indices: set[int]) -> int:
    return sum(len(batch.sequences[i].ids) for i in indices)


def lineage(sequences: tuple[Sequence, ...], index: int) -> list[int]:
    """The sequence and everything it continues, root first."""
    line, at = [], index
    while at is not None:
        line.append(at)
        at = sequences[at].parent
    return line[::-1]


def lay_out(sequences: tuple[Sequence, ...], micro: MicroBatch) -> Stream:
    """Place a micro-batch's sequences one after another and list what is predicted from where."""
    place: dict[int, int] = {}
    ids: list[int] = []
    positions: list[int] = []
    segments: list[Segment] = []
    for i in sorted(micro.present):
        prefix = tuple(place[a] for a in lineage(sequences, i)[:-1])
        offset = sum(segments[p].length for p in prefix)
        place[i] = len(segments)
        segments.append(Segment(len(ids), len(sequences[i].ids), offset, prefix))
        positions += range(offset, offset + len(sequences[i].ids))
        ids += sequences[i].ids
    stream = Stream(ids, positions, segments, rows=[], targets=[], weights=[], counts=[])
    for i in micro.members:
        _add_predictions(stream, sequences[i], segments[place[i]])
    return stream


def _add_predictions(stream: Stream, sequence: Sequence, segment: Segment) -> None:
    """The first token is predicted by the last token of the parent: one row may serve several children."""
    supervised = sequence.supervised
    for i in supervised:
        before = segment.start + i - 1
        if i == 0:
            parent = stream.segments[segment.prefix[-1]]
            before = parent.start + parent.length - 1
        stream.rows.append(before)
        stream.targets.append(sequence.ids[i])
        stream.weights.append(sequence.weights[i])
    stream.counts.append(len(supervised))
