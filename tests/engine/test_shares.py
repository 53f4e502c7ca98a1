"""Rows of several adapters in one decode step: side by side in one product, or each in its own, with equal results."""

import pytest
import torch

from afina.engine import model
from afina.engine.attention import PackedLayout
from afina.engine.packing import Segment
from afina.engine.shares import WIDEST, Stack, apart
from afina.engine.types import AdapterSpec

CPU = torch.device("cpu")
SPECS = (
    AdapterSpec(rank=2, alpha=8.0, seed=1),
    AdapterSpec(rank=5, alpha=1.0, seed=2, targets=("q_proj", "down_proj")),
    AdapterSpec(rank=3, alpha=3.0, seed=3, rslora=True, targets=("v_proj", "down_proj")),
)


@pytest.fixture
def frozen(base):
    return model.load(base())


@pytest.fixture
def owners(frozen, stirred):
    """Seven rows, one of them the base model's."""
    one, two, three = (stirred(frozen, spec) for spec in SPECS)
    return [two, None, one, three, one, two, two]


def hidden(frozen, shares):
    """Of seven rows that do not see each other, each a token of its own."""
    layout = PackedLayout([Segment(i, 1, 0) for i in range(7)], CPU)
    with torch.inference_mode():
        return frozen.hidden([11, 12, 13, 14, 15, 16, 17], [0] * 7, layout, shares=shares)


def test_side_by_side_equals_one_by_one(frozen, owners):
    (share,) = Stack().shares(owners, CPU)
    assert share.gate is not None
    found, expected, plain = (hidden(frozen, of) for of in ((share,), apart(owners, CPU), ()))
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-6)
    assert (expected - plain).abs().amax(dim=1).gt(1e-3).tolist() == [owner is not None for owner in owners]


def test_the_stack_is_kept_until_an_adapter_is_trained(frozen, owners):
    stack = Stack()
    (first,), (again,) = stack.shares(owners, CPU), stack.shares(owners[::-1], CPU)
    assert again.pairs is first.pairs
    with torch.no_grad():
        owners[0].share.pairs["0.self_attn.q_proj"].b.add_(1.0)
    owners[0].steps += 1
    torch.testing.assert_close(
        hidden(frozen, stack.shares(owners, CPU)), hidden(frozen, apart(owners, CPU)), rtol=1e-5, atol=1e-6
    )


def test_a_broken_adapter_is_kept_apart(frozen, owners):
    with torch.no_grad():
        owners[2].share.pairs["0.self_attn.v_proj"].a.fill_(float("inf"))
    shares = Stack().shares(owners, CPU)
    assert len(shares) == 3
    good = [owner is not owners[2] for owner in owners]
    assert hidden(frozen, shares).isfinite().all(dim=1).tolist() == good


def test_one_adapter_and_very_wide_ones_stay_apart(frozen, owners, stirred):
    assert all(share.gate is None for share in Stack().shares([owners[0], None, owners[0]], CPU))
    wide = [stirred(frozen, AdapterSpec(rank=32, seed=n)) for n in range(WIDEST // 32)]
    assert Stack().shares(wide, CPU)[0].gate is not None
    assert len(Stack().shares([*wide, owners[0]], CPU)) == len(wide) + 1
