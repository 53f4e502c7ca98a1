"""Many coroutines on one engine: training beside sampling changes neither, closing and cancelling leave no trace."""

import ast
import asyncio
import inspect
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from afina.engine import model, train
from afina.engine.engine import Engine
from afina.engine.fake import FakeEngine
from afina.engine.losses import cross_entropy
from afina.engine.sample import Row, Sampler
from afina.engine.types import AdamW, AdapterSpec, SamplingParams, Sequence
from afina.errors import Unavailable

SPEC = AdapterSpec(rank=4, seed=1)
PARAMS = SamplingParams(max_tokens=60, temperature=0.7, seed=3)


async def take_steps(engine, batch, name="a"):
    await engine.create_adapter(name, SPEC)
    losses = []
    for _ in range(5):
        losses.append((await engine.forward_backward(name, batch, cross_entropy)).mean)
        await engine.optim_step(name, AdamW(lr=0.01))
    await engine.drop(name)
    return losses


async def sample(engine):
    return [token.id async for token in engine.sample(None, [5, 6, 7], PARAMS)]


async def test_training_beside_sampling_changes_neither(engine, shared_batch):
    losses, tokens = await take_steps(engine, shared_batch), await sample(engine)
    together = await asyncio.gather(take_steps(engine, shared_batch), *(sample(engine) for _ in range(3)))
    assert together[0] == losses
    assert together[1:] == [tokens] * 3


def test_samples_in_the_middle_of_a_pass_change_nothing_and_are_not_changed(base, stirred, shared_batch):
    frozen = model.load(base())
    trained, asked = stirred(frozen), stirred(frozen, AdapterSpec(rank=2, alpha=8.0, seed=9))

    def tokens_and_gradients(*, inside: bool):
        sampler, tokens = Sampler(frozen), []
        sampler.add(Row(asked, [5, 6, 7], PARAMS, tokens.append))
        for _ in train.forward_backward(
            frozen, trained, shared_batch, cross_entropy, breathe=sampler.step if inside else train.hold
        ):
            pass
        seen = len(tokens)
        while sampler.busy:
            sampler.step()
        gradients = [parameter.grad.clone() for parameter in trained.parameters]
        trained.discard_gradients()
        return seen, tokens, gradients

    (_, alone, expected), (seen, within, gradients) = (
        tokens_and_gradients(inside=way) for way in (False, True)
    )
    assert seen > frozen.layers  # On the way forward, and on the way back.
    assert within == alone
    assert all(torch.equal(one, other) for one, other in zip(gradients, expected, strict=True))


async def test_a_cancelled_forward_backward_leaves_no_gradients(engine, shared_batch):
    await engine.create_adapter("b", SPEC)
    for _ in range(3):
        task = asyncio.create_task(engine.forward_backward("b", shared_batch, cross_entropy))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    await engine.drop("b")
    assert await take_steps(engine, shared_batch, "b") == await take_steps(engine, shared_batch, "c")


async def test_a_closed_engine_answers_unavailable(base):
    engine = await Engine.open(base("llama"), threads=1)
    tokens = engine.sample(None, [1], SamplingParams(max_tokens=300, temperature=0))
    await anext(tokens)
    await engine.close()
    with pytest.raises(Unavailable):
        while True:
            await anext(tokens)
    with pytest.raises(Unavailable):
        await engine.logprobs(None, [Sequence((1, 2), (1.0, 1.0))])


async def test_its_properties_are_the_base_s(engine):
    assert (engine.vocab_size, engine.max_positions, engine.device) == (97, 320, "cpu")
    assert engine.parameters > 10_000


async def test_the_base_scores_a_sequence_without_targets_as_empty(engine):
    (scores,) = await engine.logprobs(None, [Sequence((1,), (1.0,))])
    assert scores.values == () and scores.argmax == ()


def public(cls) -> dict[str, list[str]]:
    names = [n for n in vars(cls) if not n.startswith("_") and inspect.isfunction(vars(cls)[n])]
    return {n: list(inspect.signature(vars(cls)[n]).parameters) for n in names}


def test_the_fake_has_the_same_verbs():
    assert public(FakeEngine) == public(Engine)


@pytest.mark.parametrize("module", ["types", "losses", "fake", "packing"])
def test_what_methods_import_needs_no_torch(module):
    code = f"import sys, afina.engine.{module}; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_nothing_is_pickled():
    names = set()
    for file in Path(inspect.getfile(Engine)).parent.glob("*.py"):
        tree = ast.parse(file.read_text("utf-8"))
        names |= {ast.unparse(node.func) for node in ast.walk(tree) if isinstance(node, ast.Call)}
    assert "torch.nn.utils.get_total_norm" in names
    assert not names & {"torch.load", "torch.save", "pickle.load", "pickle.loads", "pickle.dump"}


async def test_alternatives_stand_beside_the_scores_that_come_without_them(engine: Engine, shared_batch):
    sequences = list(shared_batch.sequences)
    plain, ranked = await engine.logprobs(None, sequences), await engine.logprobs(None, sequences, top=3)
    for sequence, alone, of in zip(sequences, plain, ranked, strict=True):
        assert (alone.top, of.argmax) == ((), alone.argmax)
        assert of.values == pytest.approx(alone.values, rel=1e-6)
        said = [sequence.ids[i] for i in sequence.supervised]
        for id, value, hit, top in zip(said, of.values, of.argmax, of.top, strict=True):
            logprobs = [logprob for _, logprob in top]
            assert len(top) == 3 and logprobs == sorted(logprobs, reverse=True)
            assert hit == (top[0][0] == id) and value <= logprobs[0]
            assert dict(top).get(id, value) == value
