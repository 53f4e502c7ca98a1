"""Cutting a batch into passes, and laying a pass out as one stream."""

from hypothesis import given
from hypothesis import strategies as st

from afina.engine.packing import MicroBatch, cut, lay_out
from afina.engine.types import Batch, Sequence


def sequence(
    length: int, parent: int | None = None, *, weight: float = 1.0, group: int | None = None
) -> Sequence:
    return Sequence(tuple(range(length)), (weight,) * length, parent, group)


def members(batch: Batch) -> list[list[int]]:
    return [micro.members for micro in cut(batch)]


def test_passes_keep_to_the_budget_and_the_order():
    batch = Batch((sequence(4), sequence(5), sequence(6), sequence(30), sequence(2)), token_budget=10)
    assert members(batch) == [[0, 1], [2], [3], [4]]


def test_a_prefix_comes_along_in_every_pass_and_is_scored_once():
    batch = Batch((sequence(4), *(sequence(3, 0) for _ in range(4))), token_budget=10)
    passes = cut(batch)
    assert [micro.members for micro in passes] == [[0, 1, 2], [3, 4]]
    assert [sorted(micro.present) for micro in passes] == [[0, 1, 2], [0, 3, 4]]
    assert [micro.tokens for micro in passes] == [10, 10]


def test_a_long_prefix_is_at_most_a_third_of_a_pass_that_has_more_to_hold():
    batch = Batch((sequence(20), *(sequence(5, 0) for _ in range(10)), sequence(9)), token_budget=10)
    passes = cut(batch)
    assert [micro.members for micro in passes] == [[0, *range(1, 9)], [9, 10], [11]]
    assert [micro.tokens for micro in passes] == [60, 30, 9]


def test_long_prefixes_of_others_make_no_room():
    prompts = [sequence(20, weight=0.0), sequence(20, weight=0.0)]
    batch = Batch((*prompts, sequence(2, 0), sequence(2, 1)), token_budget=10)
    assert members(batch) == [[2], [3]]


def test_a_prefix_that_is_too_long_makes_no_room_for_others():
    batch = Batch(tuple(sequence(20) for _ in range(3)), token_budget=10)
    assert members(batch) == [[0], [1], [2]]


def test_groups_are_not_torn_apart_and_unsupervised_sequences_are_not_computed():
    pairs = [sequence(3, group=n // 2) for n in range(4)]
    batch = Batch((*pairs, sequence(5, weight=0.0)), token_budget=7)
    assert members(batch) == [[0, 1], [2, 3]]
    assert all(4 not in micro.present for micro in cut(batch))


def test_the_last_token_of_a_parent_predicts_the_first_of_each_child():
    sequences = (sequence(3, weight=0.0), sequence(2, 0), sequence(2, 0), sequence(1, 2))
    stream = lay_out(sequences, MicroBatch([1, 2, 3], {0, 1, 2, 3}, 8))
    assert stream.positions == [0, 1, 2, 3, 4, 3, 4, 5]
    assert [segment.prefix for segment in stream.segments] == [(), (0,), (0,), (0, 2)]
    assert stream.rows == [2, 3, 2, 5, 6]
    assert stream.targets == [0, 1, 0, 1, 0]
    assert stream.counts == [2, 2, 1]


@st.composite
def batches(draw):
    sequences = []
    for n in range(draw(st.integers(1, 12))):
        parent = draw(st.none() | st.integers(0, n - 1)) if n else None
        weight, group = draw(st.sampled_from([0.0, 1.0])), draw(st.none() | st.integers(0, 2))
        sequences.append(sequence(draw(st.integers(1, 9)), parent, weight=weight, group=group))
    return Batch(tuple(sequences), token_budget=draw(st.integers(1, 40)))


@given(batches())
def test_every_supervised_token_is_predicted_exactly_once(batch):
    passes = cut(batch)
    assert sorted(i for micro in passes for i in micro.members) == [
        i for i, s in enumerate(batch.sequences) if s.supervised
    ]
    for micro in passes:
        stream = lay_out(batch.sequences, micro)
        assert (
            len(stream.ids) == len(stream.positions) == micro.tokens == sum(s.length for s in stream.segments)
        )
        assert stream.counts == [len(batch.sequences[i].supervised) for i in micro.members]
        assert len(stream.rows) == len(stream.targets) == len(stream.weights) == sum(stream.counts)
