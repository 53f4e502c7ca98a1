"""Each row once an epoch, and the same batches wherever a run goes on."""

import numpy as np
import pytest

from afina.training.batches import batches, epoch_order, steps_per_epoch


def firsts(taken):
    """Which rows each step has, by the first id of each."""
    return [(step, [sequence.ids[0] for sequence in batch.sequences]) for step, batch in taken]


@pytest.mark.parametrize(("rows", "size", "steps"), [(1, 1, 1), (1, 8, 1), (8, 8, 1), (9, 8, 2), (16, 8, 2)])
def test_the_last_batch_of_an_epoch_may_be_smaller(rows, size, steps):
    assert steps_per_epoch(rows, size) == steps


@pytest.mark.parametrize(("rows", "size"), [(7, 2), (8, 2), (3, 5), (1, 1)])
def test_every_row_is_met_once_an_epoch(new_spec, new_tokens, rows, size):
    spec = new_spec(batch_size=size, n_epochs=3)
    taken = firsts(batches(spec, new_tokens(rows), start=0))
    per_epoch = steps_per_epoch(rows, size)
    assert [step for step, _ in taken] == list(range(1, 3 * per_epoch + 1))
    for epoch in range(3):
        met = [row for _, some in taken[epoch * per_epoch : (epoch + 1) * per_epoch] for row in some]
        assert sorted(met) == list(range(rows))


@pytest.mark.parametrize("start", range(13))
def test_a_resumed_run_meets_the_same_batches(new_spec, new_tokens, start):
    spec, data = new_spec(n_epochs=3), new_tokens(7)
    assert list(batches(spec, data, start=start)) == list(batches(spec, data, start=0))[start:]


def test_a_batch_holds_what_the_file_holds(new_spec, new_tokens):
    data = new_tokens(7)
    for _, batch in batches(new_spec(), data, start=0):
        assert batch.token_budget == 256
        for sequence in batch.sequences:
            ids, weights = data[sequence.ids[0]]
            assert sequence.ids == tuple(ids.tolist())
            assert sequence.weights == tuple(map(float, weights.tolist()))


def test_epochs_and_seeds_have_orders_of_their_own():
    orders = {
        tuple(epoch_order(50, seed=seed, epoch=epoch)) for seed in (0, 1, 2**31 - 1) for epoch in (0, 1)
    }
    assert len(orders) == 6


def test_the_order_does_not_depend_on_what_was_drawn_before():
    before = epoch_order(50, seed=1, epoch=1)
    np.random.default_rng(0).random(100)
    epoch_order(50, seed=1, epoch=0)
    assert epoch_order(50, seed=1, epoch=1) == before
