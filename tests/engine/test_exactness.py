"""Packed passes against transformers + PEFT one by one: log-probabilities and every gradient tensor."""

from dataclasses import replace

import pytest
import torch

from afina.engine import adapters, model, train
from afina.engine.losses import cross_entropy, policy_gradient, preference
from afina.engine.types import AdapterSpec, Batch, Sequence
from oracle import difference, finish, plain_loss
from tiny_families import CONFIGS


def gradients_by_peft(network, one_by_one, batch: Batch):
    """The loss and the gradients by name, as a plain loop over the sequences has them."""
    return plain_loss(network, one_by_one, batch), {
        n.replace(".default.", "."): p.grad for n, p in network.named_parameters() if p.grad is not None
    }


@pytest.mark.parametrize("name", CONFIGS)
@pytest.mark.parametrize("layout", ["plain_batch", "shared_batch"])
@pytest.mark.parametrize("budget", [2048, 20])
def test_gradients_equal_peft_tensor_by_tensor(
    name, layout, budget, request, base, stirred, judge, one_by_one, tmp_path
):
    batch = replace(request.getfixturevalue(layout), token_budget=budget)
    frozen = model.load(base(name))
    adapter = stirred(frozen)
    adapters.write(tmp_path, adapters.snapshot(adapter, state=False))
    report = finish(train.forward_backward(frozen, adapter, batch, cross_entropy))
    loss, theirs = gradients_by_peft(judge(base(name), tmp_path), one_by_one, batch)
    assert report.mean == pytest.approx(loss, rel=1e-6)
    ours = {n: p.grad for n, p in adapter.named()}
    assert ours.keys() == theirs.keys()
    assert max(difference(ours[n], theirs[n]) for n in ours) < 1e-5


@pytest.mark.parametrize("name", ["llama", "gemma3", "mixtral"])
@pytest.mark.parametrize("budget", [2048, 20])
def test_preferences_have_the_gradients_of_their_definition(
    name, budget, base, stirred, judge, one_by_one, tmp_path, pairs
):
    """Direct preference optimisation, pair by pair, without shared prompts, on transformers + PEFT."""
    references = {0: (-30.0, -28.0), 1: (-12.5, -20.0)}
    batch = replace(pairs, token_budget=budget, denominator=2)
    frozen = model.load(base(name))
    adapter = stirred(frozen)
    adapters.write(tmp_path, adapters.snapshot(adapter, state=False))
    report = finish(train.forward_backward(frozen, adapter, batch, preference(0.3, references)))
    network = judge(base(name), tmp_path)
    sums = [values.sum() for values in one_by_one(network, batch) if len(values)]
    margins = [(sums[2 * i] - references[i][0]) - (sums[2 * i + 1] - references[i][1]) for i in range(2)]
    loss = -torch.nn.functional.logsigmoid(0.3 * torch.stack(margins)).mean()
    loss.backward()
    assert report.mean == pytest.approx(loss.item(), rel=1e-5)
    assert report.sums == pytest.approx([value.item() for value in sums], rel=1e-5)
    theirs = {
        n.replace(".default.", "."): p.grad for n, p in network.named_parameters() if p.grad is not None
    }
    assert max(difference(p.grad, theirs[n]) for n, p in adapter.named()) < 1e-5


@pytest.mark.parametrize("budget", [2048, 20])
def test_policy_gradients_have_those_of_their_definition(
    budget, base, stirred, judge, one_by_one, tmp_path, pairs
):
    """Group-relative policy optimisation, reply by reply; some of the replies have left the clip behind."""
    replies = [i for i, s in enumerate(pairs.sequences) if s.parent is not None]
    alone = [replace(s, group=replies.index(i)) if i in replies else s for i, s in enumerate(pairs.sequences)]
    batch = replace(pairs, sequences=tuple(alone), token_budget=budget, denominator=21)
    frozen = model.load(base("llama"))
    adapter = stirred(frozen)
    adapters.write(tmp_path, adapters.snapshot(adapter, state=False))
    network = judge(base("llama"), tmp_path)
    values = [found for found in one_by_one(network, batch) if len(found)]
    moved = [values[k].detach() + shift for k, shift in enumerate((0.0, 0.1, -0.5, 0.5))]
    gains = [1.0, -0.7, 0.4, -1.2]
    losses = []
    for found, old, gain in zip(values, moved, gains, strict=True):
        ratio = torch.exp(found - old)
        losses.append(-torch.min(ratio * gain, torch.clip(ratio, 0.8, 1.2) * gain).sum() / 21)
    torch.stack(losses).sum().backward()
    sampled = {k: tuple(old.tolist()) for k, old in enumerate(moved)}
    loss = policy_gradient(dict(enumerate(gains)), sampled)
    report = finish(train.forward_backward(frozen, adapter, batch, loss))
    assert report.mean == pytest.approx(sum(found.item() for found in losses), rel=1e-5)
    theirs = {
        n.replace(".default.", "."): p.grad for n, p in network.named_parameters() if p.grad is not None
    }
    assert max(difference(p.grad, theirs[n]) for n, p in adapter.named()) < 1e-5


def test_advantages_of_zero_have_no_gradient_at_all(base, stirred, pairs):
    alone = [s if s.parent is None else replace(s, group=i) for i, s in enumerate(pairs.sequences)]
    batch = replace(pairs, sequences=tuple(alone), denominator=21)
    frozen = model.load(base("llama"))
    adapter = stirred(frozen)
    counts = {i: len(s.supervised) for i, s in enumerate(alone)}
    loss = policy_gradient(dict.fromkeys(counts, 0.0), {i: (-3.0,) * count for i, count in counts.items()})
    finish(train.forward_backward(frozen, adapter, batch, loss))
    assert all(not p.grad.any() for _, p in adapter.named())


@pytest.mark.parametrize("name", CONFIGS)
def test_logprobs_equal_transformers_for_base_and_adapter(
    name, shared_batch, base, stirred, judge, one_by_one, tmp_path
):
    frozen = model.load(base(name))
    adapter = stirred(frozen)
    adapters.write(tmp_path, adapters.snapshot(adapter, state=False))
    for ours, folder in ((None, None), (adapter, tmp_path)):
        answers = finish(train.logprobs(frozen, ours, shared_batch))
        expected = torch.cat(one_by_one(judge(base(name), folder), shared_batch)).detach()
        assert difference(torch.tensor([v for answer in answers for v in answer.values]), expected) < 1e-5


def test_the_head_in_chunks_gives_the_same_gradients(monkeypatch, shared_batch, base, stirred):
    frozen = model.load(base("llama"))
    whole, chunked = stirred(frozen), stirred(frozen)
    expected = finish(train.forward_backward(frozen, whole, shared_batch, cross_entropy))
    monkeypatch.setattr(model, "CHUNK", 5 * frozen.vocab_size)
    report = finish(train.forward_backward(frozen, chunked, shared_batch, cross_entropy))
    assert report.mean == pytest.approx(expected.mean, rel=1e-6)
    pairs = zip(whole.parameters, chunked.parameters, strict=True)
    assert max(difference(b.grad, a.grad) for a, b in pairs) < 1e-5


def test_another_segment_does_not_change_a_bit(plain_batch, base, stirred):
    frozen = model.load(base("llama"))
    adapter = stirred(frozen)
    first, second, third = plain_batch.sequences
    changed = replace(plain_batch, sequences=(first, Sequence((1,) * len(second.ids), second.weights), third))
    before = finish(train.logprobs(frozen, adapter, plain_batch))
    after = finish(train.logprobs(frozen, adapter, changed))
    assert before[0] == after[0] and before[2] == after[2]
    assert before[1].values != after[1].values


def test_only_the_targets_of_the_spec_are_trained(plain_batch, base, judge, one_by_one, stirred, tmp_path):
    frozen = model.load(base("llama"))
    adapter = stirred(frozen, AdapterSpec(rank=3, alpha=5.0, rslora=True, targets=("q_proj", "down_proj")))
    adapters.write(tmp_path, adapters.snapshot(adapter, state=False))
    finish(train.forward_backward(frozen, adapter, plain_batch, cross_entropy))
    _, theirs = gradients_by_peft(judge(base("llama"), tmp_path), one_by_one, plain_batch)
    ours = {n: p.grad for n, p in adapter.named()}
    assert ours.keys() == theirs.keys() and len(ours) == 2 * 2 * frozen.layers
    assert max(difference(ours[n], theirs[n]) for n in ours) < 1e-5


@pytest.mark.parametrize("name", ["llama", "gemma2", "gemma4-small", "granite", "gpt-oss", "phi3"])
def test_bfloat16_stays_near_float32(name, shared_batch, base, stirred):
    exact, rough = model.load(base(name)), model.load(base(name), dtype="bfloat16")
    reports = [
        finish(train.forward_backward(m, stirred(m, size=0.05), shared_batch, cross_entropy))
        for m in (exact, rough)
    ]
    assert reports[1].mean == pytest.approx(reports[0].mean, rel=0.03)
