"""The fake keeps the engine's promises as far as methods rely on them."""

import pytest

from afina.engine.fake import FakeEngine
from afina.engine.losses import cross_entropy
from afina.engine.types import AdamW, AdapterSpec, Batch, SamplingParams, Sequence
from afina.errors import InvalidRequest, NotFound

BATCH = Batch((Sequence((1, 2, 3), (0.0, 1.0, 1.0)),))


async def train(engine, adapter, steps):
    losses = []
    for _ in range(steps):
        losses.append((await engine.forward_backward(adapter, BATCH, cross_entropy)).mean)
        await engine.optim_step(adapter, AdamW(lr=1e-3))
    return losses


async def test_losses_fall_and_a_resumed_run_continues(tmp_path):
    engine = FakeEngine()
    await engine.create_adapter("a", AdapterSpec(rank=2))
    whole = await train(engine, "a", 6)
    assert whole == sorted(whole, reverse=True) and len(set(whole)) == 6
    await engine.create_adapter("b", AdapterSpec(rank=2))
    first = await train(engine, "b", 3)
    await engine.save("b", tmp_path, state=True)
    await engine.create_adapter("c", AdapterSpec(rank=2), start=tmp_path)
    assert first + await train(engine, "c", 3) == whole


async def test_weights_alone_do_not_resume(tmp_path):
    engine = FakeEngine()
    await engine.create_adapter("a", AdapterSpec())
    losses = await train(engine, "a", 2)
    await engine.save("a", tmp_path)
    await engine.create_adapter("b", None, start=tmp_path)
    assert await train(engine, "b", 2) == losses


async def test_it_counts_upwards_until_a_stop_or_the_length():
    engine = FakeEngine()
    tokens = [t async for t in engine.sample(None, [62], SamplingParams(max_tokens=4, logprobs=2))]
    assert [t.id for t in tokens] == [63, 0, 1, 2] and tokens[-1].finish == "length"
    assert tokens[0].top == ((63, -1.0), (0, -2.0))
    tokens = [t async for t in engine.sample(None, [62], SamplingParams(max_tokens=4, stop_ids=(0,)))]
    assert [(t.id, t.finish) for t in tokens] == [(63, None), (0, "stop")]
    assert engine.rows == 0


async def test_it_refuses_what_the_engine_refuses(tmp_path):
    engine = FakeEngine()
    await engine.create_adapter("a", AdapterSpec())
    with pytest.raises(InvalidRequest, match="already"):
        await engine.create_adapter("a", AdapterSpec())
    with pytest.raises(InvalidRequest, match="no gradients"):
        await engine.optim_step("a", AdamW(lr=1.0))
    with pytest.raises(InvalidRequest, match="weight"):
        await engine.forward_backward("a", Batch(()), cross_entropy)
    with pytest.raises(InvalidRequest, match="adapter_config"):
        await engine.create_adapter("b", None, start=tmp_path)
    with pytest.raises(NotFound):
        await engine.drop("b")
    await engine.forward_backward("a", BATCH, cross_entropy)
    assert not (await engine.optim_step("a", AdamW(lr=float("nan")))).finite
