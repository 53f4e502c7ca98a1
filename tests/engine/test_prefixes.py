"""Common beginnings of rows: found at every level, computed once, and the same mathematics as without."""

from collections.abc import Generator
from collections.abc import Sequence as Rows
from random import Random

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from afina.engine import losses, model, train
from afina.engine.packing import lineage
from afina.engine.prefixes import SHORTEST, share_prefixes
from afina.engine.types import Batch, LossReport, Sequence


def row(ids: Rows[int], weights: Rows[float] | None = None) -> Sequence:
    return Sequence(tuple(ids), tuple(weights or [1.0] * len(ids)))


def system(length: int, seed: int = 0) -> list[int]:
    return [Random(seed).randrange(97) for _ in range(length)]


def whole(sequences: tuple[Sequence, ...], place: int) -> tuple[int, ...]:
    return tuple(id for at in lineage(sequences, place) for id in sequences[at].ids)


def test_two_levels_are_found_and_each_token_is_there_once():
    asked, other = system(40), system(30, 1)
    rows = tuple(row([*asked, *more]) for more in ([*other, 1], [*other, 2, 3], [4], [5, 6]))
    shared = share_prefixes(rows)
    assert sum(len(s.ids) for s in shared) == 40 + 30 + 1 + 2 + 1 + 2
    leaves = set(range(len(shared))) - {s.parent for s in shared}
    assert sorted(whole(shared, leaf) for leaf in leaves) == sorted(r.ids for r in rows)
    assert max(len(lineage(shared, leaf)) for leaf in leaves) == 3


def test_equal_rows_keep_a_token_of_their_own():
    shared = share_prefixes((row(system(20)), row(system(20)), row(system(20))))
    assert [len(s.ids) for s in shared] == [19, 1, 1, 1]
    assert shared[0].weights[1:] == (3.0,) * 18


def test_a_short_beginning_is_not_worth_a_prefix():
    rows = (row([*system(SHORTEST - 1), 90, 91]), row([*system(SHORTEST - 1), 92, 93]))
    assert share_prefixes(rows[::-1]) == rows[::-1]


def test_rows_that_belong_together_already_stay_as_they_are():
    rows = (row(system(30)), Sequence((1, 2), (1.0, 1.0), parent=0), row(system(30)))
    assert share_prefixes(rows) == rows
    grouped = tuple(Sequence((*system(30), i), (1.0,) * 31, group=0) for i in range(2))
    assert share_prefixes(grouped) == grouped


ROWS = st.lists(st.lists(st.integers(0, 1), min_size=1, max_size=60), min_size=1, max_size=8)


@given(ROWS)
def test_nothing_is_lost_or_invented(found: list[list[int]]):
    rows = tuple(row(ids, [float(i + 1)] * len(ids)) for i, ids in enumerate(found))
    shared = share_prefixes(rows)
    leaves = set(range(len(shared))) - {s.parent for s in shared}
    assert sorted(whole(shared, leaf) for leaf in leaves) == sorted(r.ids for r in rows)
    assert sum(sum(s.weights) for s in shared) == sum(sum(r.weights) for r in rows)
    assert all(s.parent is None or s.parent < place for place, s in enumerate(shared))


@pytest.mark.parametrize("name", ["llama", "qwen3-sliding"])
def test_gradients_and_report_equal_those_of_whole_rows(base, stirred, name: str):
    frozen = model.load(base(name))
    asked, other = system(40), system(20, 1)
    answers = ([*other, 1, 2, 3], [*other, 9], [4, 5], [4, 5])
    weights = [0.0] * 30 + [0.5] * 10  # part of what they share is supervised too
    rows = tuple(row([*asked, *answer], [*weights, *[1.0] * len(answer)]) for answer in answers)
    gradients: list[list[torch.Tensor]] = []
    reports: list[LossReport] = []
    for sequences in (rows, share_prefixes(rows)):
        adapter = stirred(frozen)
        reports.append(
            finished(train.forward_backward(frozen, adapter, Batch(sequences), losses.cross_entropy))
        )
        gradients.append([p.grad for p in adapter.parameters if p.grad is not None])
    assert reports[1].mean == pytest.approx(reports[0].mean, rel=1e-6)
    assert reports[1].accuracy == pytest.approx(reports[0].accuracy)
    assert len(gradients[0]) == len(gradients[1]) > 0
    for plain, shared in zip(*gradients, strict=True):
        assert (shared - plain).norm() <= 1e-5 * plain.norm()


def finished(work: Generator[None, None, LossReport]) -> LossReport:
    """Run a generator of units to its end."""
    while True:
        try:
            next(work)
        except StopIteration as end:
            return end.value
