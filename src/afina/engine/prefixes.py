"""What several rows begin with, found and computed once: a system prompt, few-shot examples, a shared question.

Source: prefix sharing as in tree training (arXiv 2511.00413), on the token ids of one batch.
"""

from dataclasses import dataclass, field

from afina.engine.types import Sequence

# Below so many tokens, the mask that a prefix needs costs more than the tokens that it saves.
SHORTEST = 16


@dataclass(slots=True)
class _Node:
    """Tokens `start` to `end` of the rows below it, which agree there; a row's own end is a node with one row."""

    rows: list[int]
    start: int
    end: int
    children: list["_Node"] = field(default_factory=list["_Node"])


def share_prefixes(rows: tuple[Sequence, ...]) -> tuple[Sequence, ...]:
    """The same batch with common beginnings of at least 16 tokens as sequences of their own, at every level.

    Rows keep their order, but those that share something stand together. Rows that continue something already, or
    belong to a group, stay as they are. A weight on a shared token is the sum of the rows' weights there: right for
    every loss that is a weighted sum over tokens, and for no other.
    """
    if any(row.parent is not None or row.group is not None for row in rows):
        return rows
    order = sorted(range(len(rows)), key=lambda i: rows[i].ids)
    made: list[Sequence] = []
    for root in _split(rows, order, 0):
        _emit(rows, root, None, made)
    return tuple(made)


def _split(rows: tuple[Sequence, ...], order: list[int], start: int) -> list[_Node]:
    """Nodes for rows, sorted by ids, that agree up to `start`."""
    nodes: list[_Node] = []
    at = 0
    while at < len(order):
        group, end = _longest(rows, order[at:], start)
        nodes.append(_Node(group, start, end))
        at += len(group)
    for node in nodes:
        if len(node.rows) > 1:
            node.children = _split(rows, node.rows, node.end)
    return sorted(nodes, key=lambda node: min(node.rows))


def _longest(rows: tuple[Sequence, ...], order: list[int], start: int) -> tuple[list[int], int]:
    """The first rows that share enough with the first one, and up to where they all do; else that row alone."""
    first = rows[order[0]].ids
    group, end = [order[0]], len(first) - 1
    for i in order[1:]:
        common = _common(first, rows[i].ids, min(end, len(rows[i].ids) - 1))
        if common - start < SHORTEST:
            break
        group.append(i)
        end = common
    return (group, end) if len(group) > 1 else (group, len(first))


def _common(one: tuple[int, ...], other: tuple[int, ...], most: int) -> int:
    """How many tokens two rows begin with alike, at most so many."""
    return next((i for i in range(most) if one[i] != other[i]), most)


def _emit(rows: tuple[Sequence, ...], node: _Node, parent: int | None, made: list[Sequence]) -> None:
    """A node's sequence, then everything that continues it."""
    weights = zip(*(rows[i].weights[node.start : node.end] for i in node.rows), strict=True)
    ids = rows[node.rows[0]].ids[node.start : node.end]
    made.append(Sequence(ids, tuple(map(sum, weights)), parent))
    place = len(made) - 1
    for child in node.children:
        _emit(rows, child, place, made)
