"""What transformers may ask of the attention, and what stops the pass because nobody would honour it."""

import pytest
import torch
from torch import nn

from afina.engine import attention, model
from afina.engine.attention import PackedLayout, Scoring, visible, weigh
from afina.engine.packing import Segment
from afina.errors import RunFailed


def products(queries: int = 5, keys: int = 5):
    generator = torch.Generator().manual_seed(0)
    sizes = ((1, 4, queries, 8), (1, 2, keys, 8), (1, 2, keys, 8))
    return tuple(torch.randn(size, generator=generator) for size in sizes)


@pytest.mark.parametrize("mask", [None, visible(torch.arange(3, 8)[:, None], torch.arange(8), 4)])
def test_open_attention_without_caps_and_sinks_is_the_fused_one(mask):
    qkv = products(5, 5 if mask is None else 8)
    nothing = torch.full((4,), -1e4)
    fused = weigh(qkv, mask, Scoring(0.3))
    for scoring in (Scoring(0.3, softcap=1e4), Scoring(0.3, sinks=nothing)):
        torch.testing.assert_close(weigh(qkv, mask, scoring), fused, rtol=1e-5, atol=1e-6)


def test_a_sink_takes_its_share_of_the_weight():
    """With scores of zero and a sink of log 3, the first token keeps a quarter of its own value."""
    q, k, v = products()
    out = weigh((torch.zeros_like(q), k, v), None, Scoring(1.0, sinks=torch.full((4,), 3.0).log()))
    torch.testing.assert_close(out[0, :, 0], v[0, :, 0].repeat_interleave(2, dim=0) / 4)


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ({"position_bias": torch.zeros(1)}, "position_bias"),
        ({"head_mask": torch.ones(4)}, "head_mask"),
        ({"dropout": 0.1}, "dropout"),
        ({"is_causal": False}, "is_causal"),
    ],
)
def test_what_nobody_would_honour_stops_the_pass(asked, words):
    layout = PackedLayout([Segment(0, 5, 0)], torch.device("cpu"))
    layer = nn.Module()
    layer.layer_idx = 0
    with pytest.raises(RunFailed, match=words):
        attention._attention(layer, *products(), None, layout=layout, scaling=1.0, **asked)
    out, _ = attention._attention(layer, *products(), None, layout=layout, scaling=1.0, position_ids=1)
    assert out.shape == (1, 5, 4, 8)


def test_a_model_that_looks_ahead_stops_the_pass(base, monkeypatch):
    frozen = model.load(base("gemma3"))
    for layer in frozen.body.layers:
        monkeypatch.setattr(layer.self_attn, "is_causal", False)
    layout = PackedLayout([Segment(0, 3, 0)], frozen.device)
    with pytest.raises(RunFailed, match="look ahead"):
        frozen.hidden([1, 2, 3], [0, 1, 2], layout, shares=())
