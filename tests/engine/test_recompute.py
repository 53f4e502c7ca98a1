"""Where memory is short, layers are computed again: the same gradients, bit by bit, with less kept."""

import pytest
import torch

from afina.engine import footprint, losses, model
from afina.engine.footprint import Footprint
from afina.engine.train import forward_backward


def learned(frozen, adapter, batch):
    for _ in forward_backward(frozen, adapter, batch, losses.cross_entropy):
        pass
    gradients = {name: parameter.grad.clone() for name, parameter in adapter.named()}
    adapter.discard_gradients()
    return gradients


@pytest.mark.parametrize("name", ["llama", "gemma2", "gpt-oss", "qwen3-moe"])
def test_gradients_are_the_same_bit_by_bit(name, base, stirred, shared_batch, monkeypatch):
    frozen = model.load(base(name))
    adapter = stirred(frozen)
    expected = learned(frozen, adapter, shared_batch)
    runs = []
    layer = frozen.body.layers[0].self_attn
    layer.register_forward_pre_hook(lambda *_: runs.append(1))
    learned(frozen, adapter, shared_batch)
    once = len(runs)
    monkeypatch.setattr(footprint, "free", lambda: 0)
    found = learned(frozen, adapter, shared_batch)
    assert len(runs) == 3 * once
    assert all(torch.equal(found[key], expected[key]) for key in expected)


def test_what_layers_keep_is_what_is_estimated():
    sizes = Footprint(layers=30, hidden=576, queries=576, keys=192, intermediate=1536)
    assert sizes.kept(100) == 100 * sizes.kept(1)
    assert sizes.kept(1, recomputed=True) < sizes.kept(1) / 15


def test_a_pass_is_crowded_by_what_it_keeps(base, monkeypatch):
    frozen = model.load(base())
    room = 4 * frozen.footprint.kept(100) / footprint.SHARE
    monkeypatch.setattr(footprint, "free", lambda: room)
    assert not frozen.crowded(100)
    assert frozen.crowded(101)


def test_this_machine_has_memory_left():
    assert footprint.free() > 2**26
