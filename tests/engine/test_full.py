"""All weights trained: gradients and losses against plain transformers, folders that transformers reads, resuming."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM

from afina.engine import full, model, train
from afina.engine.adapters import Adapter
from afina.engine.engine import Engine
from afina.engine.losses import cross_entropy, preference
from afina.engine.types import AdamW, AdapterSpec, FullSpec, SamplingParams
from afina.errors import InvalidRequest
from oracle import difference, finish, plain_loss
from tiny_families import CONFIGS

SPEC = FullSpec(seed=3)
ADAMW = AdamW(lr=5e-3)


def whole(base: Path) -> tuple[model.Model, Adapter]:
    loaded = model.load(base)
    return loaded, full.create(loaded, SPEC, None)


def trainable(network: torch.nn.Module) -> torch.nn.Module:
    """As transformers itself would train it."""
    return network.requires_grad_(True)


def check_gradients(adapter: Adapter, network: torch.nn.Module) -> None:
    """The same parameters have gradients, and the same ones."""
    theirs = dict(network.named_parameters())
    assert adapter.tensors.keys() == theirs.keys()
    for name, parameter in adapter.named():
        ours, expected = parameter.grad, theirs[name].grad
        assert (ours is None) == (expected is None), name
        if expected is not None and expected.any():
            assert difference(ours, expected) < 2e-5, name
        elif expected is not None:
            assert not ours.any(), name


@pytest.mark.parametrize("name", CONFIGS)
@pytest.mark.parametrize("layout", ["plain_batch", "shared_batch"])
@pytest.mark.parametrize("budget", [2048, 20])
def test_gradients_equal_transformers_tensor_by_tensor(
    name, layout, budget, request, base, judge, one_by_one
):
    """Norms, embeddings and heads, tied ones too, and whatever else a family has."""
    batch = replace(request.getfixturevalue(layout), token_budget=budget)
    frozen, adapter = whole(base(name))
    report = finish(train.forward_backward(frozen, adapter, batch, cross_entropy))
    network = trainable(judge(base(name)))
    assert report.mean == pytest.approx(plain_loss(network, one_by_one, batch), rel=1e-6)
    check_gradients(adapter, network)


@pytest.mark.parametrize("name", ["llama", "qwen3", "gemma3"])
def test_preferences_have_the_gradients_of_their_definition(name, base, judge, one_by_one, pairs):
    references = {0: (-30.0, -28.0), 1: (-12.5, -20.0)}
    batch = replace(pairs, token_budget=20, denominator=2)
    frozen, adapter = whole(base(name))
    report = finish(train.forward_backward(frozen, adapter, batch, preference(0.3, references)))
    network = trainable(judge(base(name)))
    sums = [values.sum() for values in one_by_one(network, batch) if len(values)]
    margins = [(sums[2 * i] - references[i][0]) - (sums[2 * i + 1] - references[i][1]) for i in range(2)]
    loss = -torch.nn.functional.logsigmoid(0.3 * torch.stack(margins)).mean()
    loss.backward()
    assert report.mean == pytest.approx(loss.item(), rel=1e-5)
    check_gradients(adapter, network)


def test_the_head_in_chunks_gives_the_same_gradients(monkeypatch, shared_batch, base):
    _, expected = kept = whole(base("qwen3"))
    finish(train.forward_backward(*kept, shared_batch, cross_entropy))
    monkeypatch.setattr(model, "CHUNK", 5 * kept[0].vocab_size)
    _, chunked = kept = whole(base("qwen3"))
    finish(train.forward_backward(*kept, shared_batch, cross_entropy))
    assert max(difference(p.grad, expected.tensors[n].grad) for n, p in chunked.named()) < 1e-5


@pytest.mark.parametrize("name", CONFIGS)
async def test_transformers_computes_the_same_with_the_folder(
    name, base, plain_batch, judge, one_by_one, tmp_path
):
    """A step, saved as the hub has it, read by plain transformers and by an engine as its base."""
    engine = await Engine.open(base(name), threads=1)
    await engine.create_adapter("all", SPEC)
    before = await engine.logprobs(None, list(plain_batch.sequences))
    assert await engine.logprobs("all", list(plain_batch.sequences)) == before
    await engine.forward_backward("all", plain_batch, cross_entropy)
    await engine.optim_step("all", ADAMW)
    ours = await engine.logprobs("all", list(plain_batch.sequences))
    await engine.save("all", tmp_path / "tuned")
    await engine.close()
    again = await Engine.open(tmp_path / "tuned", threads=1)
    assert await again.logprobs(None, list(plain_batch.sequences)) == ours != before
    await again.close()
    theirs = one_by_one(judge(tmp_path / "tuned"), plain_batch)
    for mine, expected in zip(ours, theirs, strict=True):
        torch.testing.assert_close(torch.tensor(mine.values), expected.detach(), rtol=0, atol=1e-4)


async def steps(engine: Engine, batch, count: int) -> list[float]:
    losses = []
    for _ in range(count):
        losses.append((await engine.forward_backward("all", batch, cross_entropy)).mean)
        await engine.optim_step("all", ADAMW)
    return losses


async def run(base: Path, batch, count: int, *, start: Path | None = None, save: Path) -> list[float]:
    engine = await Engine.open(base, threads=1)
    await engine.create_adapter("all", SPEC, start=start)
    losses = await steps(engine, batch, count)
    await engine.save("all", save, state=True)
    await engine.close()
    return losses


@pytest.mark.parametrize("name", ["llama", "qwen3", "mixtral"])
async def test_a_run_resumed_from_its_state_is_bit_equal(name, base, shared_batch, tmp_path):
    losses = await run(base(name), shared_batch, 6, save=tmp_path / "whole")
    first = await run(base(name), shared_batch, 3, save=tmp_path / "resume")
    rest = await run(base(name), shared_batch, 3, start=tmp_path / "resume", save=tmp_path / "again")
    assert first + rest == losses and losses[-1] < losses[0]
    files = [{f.name: f.read_bytes() for f in (tmp_path / n).iterdir()} for n in ("whole", "again")]
    assert files[0] == files[1]
    assert {"config.json", "model.safetensors", "optimizer.safetensors", "state.json"} <= files[0].keys()


async def test_what_is_sampled_is_what_has_been_trained(base, plain_batch):
    engine = await Engine.open(base("llama"), threads=1)
    await engine.create_adapter("all", SPEC)
    prompt, params = list(plain_batch.sequences[2].ids), SamplingParams(max_tokens=4, temperature=0)
    before = [token.id async for token in engine.sample("all", prompt, params)]
    assert before == [token.id async for token in engine.sample(None, prompt, params)]
    await steps(engine, plain_batch, 20)
    after = [token.id async for token in engine.sample("all", prompt, params)]
    [rolled] = await engine.rollouts("all", [prompt], [params])
    assert [token.id for token in rolled] == after != before
    await engine.close()


async def test_whoever_trains_all_weights_has_the_model_alone(engine, plain_batch):
    await engine.create_adapter("a", AdapterSpec(rank=2))
    with pytest.raises(InvalidRequest, match="has it alone"):
        await engine.create_adapter("all", SPEC)
    await engine.drop("a")
    await engine.create_adapter("all", SPEC)
    with pytest.raises(InvalidRequest, match="has it alone"):
        await engine.create_adapter("a", AdapterSpec(rank=2))
    await steps(engine, plain_batch, 1)
    await engine.drop("all")
    for spec in (SPEC, AdapterSpec(rank=2)):
        with pytest.raises(InvalidRequest, match="has it alone"):
            await engine.create_adapter("b", spec)
    with pytest.raises(InvalidRequest, match="have been trained here"):
        await engine.logprobs(None, list(plain_batch.sequences))
    with pytest.raises(InvalidRequest, match="have been trained here"):
        await anext(engine.sample(None, [1, 2], SamplingParams()))


async def test_a_model_in_bfloat16_is_not_trained_as_a_whole(base):
    engine = await Engine.open(base("llama"), dtype="bfloat16", threads=1)
    with pytest.raises(InvalidRequest, match="held in bfloat16"):
        await engine.create_adapter("all", SPEC)
    assert engine.adapters == ()
    await engine.close()


@pytest.mark.parametrize(
    ("changes", "words"),
    [({"num_hidden_layers": 1}, "tensors too few or too many"), ({"hidden_size": 64}, "has the shape")],
)
async def test_a_folder_of_another_model_is_refused(engine, tmp_path, changes, words):
    config = CONFIGS["llama"]()
    for name, value in changes.items():
        setattr(config, name, value)
    AutoModelForCausalLM.from_config(config).save_pretrained(tmp_path / "other")
    with pytest.raises(InvalidRequest, match=words):
        await engine.create_adapter("all", SPEC, start=tmp_path / "other")
    assert engine.adapters == ()
