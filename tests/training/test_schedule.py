"""Up to the full rate, then down to a tenth of it."""

import pytest

from afina.training.schedule import adamw_at


@pytest.mark.parametrize(
    ("warmup", "total", "shares"),
    [
        (0, 1, [1.0]),
        (0, 4, [1.0, 0.7, 0.4, 0.1]),
        (1, 4, [1.0, 0.7, 0.4, 0.1]),
        (2, 5, [0.5, 1.0, 0.7, 0.4, 0.1]),
        (4, 4, [0.25, 0.5, 0.75, 1.0]),
    ],
)
def test_the_rate_of_each_step(new_spec, warmup, total, shares):
    spec = new_spec(learning_rate=2.0, warmup_steps=warmup)
    rates = [adamw_at(spec, step=step, total_steps=total).lr for step in range(1, total + 1)]
    assert rates == pytest.approx([2.0 * share for share in shares])


def test_everything_else_stays_as_the_spec_says(new_spec):
    taken = adamw_at(new_spec(weight_decay=0.1, max_grad_norm=0.5), step=1, total_steps=9)
    assert (taken.weight_decay, taken.max_norm) == (0.1, 0.5)
