"""Training through the verbs: the golden losses, isolation of runs, resuming bit by bit, what is refused."""

import asyncio
import importlib.util
import json
from dataclasses import replace
from pathlib import Path

import pytest
from safetensors.torch import load_file

from afina.engine.engine import Engine
from afina.engine.losses import cross_entropy
from afina.engine.types import AdamW, AdapterSpec, Batch, Sequence
from afina.errors import InvalidRequest, NotFound

SPEC = AdapterSpec(rank=4, alpha=8.0, seed=5)
ADAMW = AdamW(lr=5e-3)


@pytest.fixture(scope="module")
def plain_loop():
    path = Path(__file__).parent / "golden" / "plain_loop.py"
    spec = importlib.util.spec_from_file_location("plain_loop", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def batch(seed: int, length: int = 12) -> Batch:
    """Two sequences that share a prompt, and one alone, in two passes."""
    ids = [tuple((7 * seed + 11 * n + k * k) % 97 for k in range(length)) for n in range(4)]
    ones, zeros = (1.0,) * length, (0.0,) * length
    prompt, others = Sequence(ids[0], zeros), [Sequence(i, ones, parent=0) for i in ids[1:3]]
    return Batch((prompt, *others, Sequence(ids[3], ones)), token_budget=3 * length)


async def train(engine, adapter, steps, *, losses=None):
    losses = [] if losses is None else losses
    for step in steps:
        report = await engine.forward_backward(adapter, batch(step), cross_entropy)
        await engine.optim_step(adapter, ADAMW)
        losses.append(report.mean)
    return losses


async def test_twenty_steps_equal_the_plain_loop(plain_loop, tmp_path):
    plain_loop.make_base(tmp_path / "base")
    plain_loop.make_adapter(tmp_path / "base", tmp_path / "start")
    golden = json.loads(plain_loop.GOLDEN.read_text("utf-8"))
    assert plain_loop.train(tmp_path / "base", tmp_path / "start") == pytest.approx(golden, rel=1e-5)
    engine = await Engine.open(tmp_path / "base", threads=1)
    await engine.create_adapter("a", None, start=tmp_path / "start")
    losses = []
    for step in range(plain_loop.STEPS):
        weights = (0.0,) * plain_loop.PROMPT + (1.0,) * (plain_loop.LENGTH - plain_loop.PROMPT)
        sequences = tuple(Sequence(tuple(ids), weights) for ids in plain_loop.rows(step))
        losses.append(
            (await engine.forward_backward("a", Batch(sequences, token_budget=50), cross_entropy)).mean
        )
        await engine.optim_step("a", AdamW(**plain_loop.OPTIMIZER, max_norm=plain_loop.MAX_NORM))
    await engine.close()
    assert losses == pytest.approx(golden, rel=1e-5)
    assert losses[-1] < 0.8 * losses[0]


async def test_runs_in_turns_are_bit_equal_to_runs_alone(engine, tmp_path):
    alone = []
    for name in ("a", "b", "c"):
        await engine.create_adapter(name, replace(SPEC, seed=ord(name)))
        alone.append(await train(engine, name, range(4)))
        await engine.save(name, tmp_path / "alone" / name, state=True)
        await engine.drop(name)
    for name in ("a", "b", "c"):
        await engine.create_adapter(name, replace(SPEC, seed=ord(name)))
    together = await asyncio.gather(*(train(engine, name, range(4)) for name in ("a", "b", "c")))
    assert together == alone
    for name in ("a", "b", "c"):
        await engine.save(name, tmp_path / "together" / name, state=True)
        assert folder(tmp_path / "together" / name) == folder(tmp_path / "alone" / name)


def folder(path: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in path.iterdir()}


async def test_a_run_resumed_from_its_state_is_bit_equal(engine, tmp_path):
    await engine.create_adapter("whole", SPEC)
    losses = await train(engine, "whole", range(6))
    await engine.create_adapter("first", SPEC)
    await train(engine, "first", range(3))
    await engine.save("first", tmp_path / "resume", state=True)
    await engine.create_adapter("second", SPEC, start=tmp_path / "resume")
    assert await train(engine, "second", range(3, 6)) == losses[3:]
    for name in ("whole", "second"):
        await engine.save(name, tmp_path / name, state=True)
    assert folder(tmp_path / "whole") == folder(tmp_path / "second")


async def test_a_state_saved_before_the_first_step_resumes_too(engine, tmp_path):
    await engine.create_adapter("a", SPEC)
    await engine.save("a", tmp_path / "fresh", state=True)
    await engine.create_adapter("b", SPEC, start=tmp_path / "fresh")
    assert await train(engine, "b", range(2)) == await train(engine, "a", range(2))


async def test_the_seed_alone_decides_a_new_adapter(engine, tmp_path):
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        await engine.create_adapter(name, replace(SPEC, seed=seed))
        await engine.save(name, tmp_path / name)
    weights = [load_file(tmp_path / name / "adapter_model.safetensors") for name in ("a", "b", "c")]
    first = "base_model.model.model.layers.0.mlp.up_proj.lora_A.weight"
    assert all(weights[0][n].equal(weights[1][n]) for n in weights[0])
    assert not weights[0][first].equal(weights[2][first])
    assert 0.9 * 32**-0.5 < weights[0][first].abs().max() <= 32**-0.5


async def test_accumulated_batches_with_one_denominator_are_one_batch(engine, tmp_path):
    whole = batch(0)
    weight = float(sum(len(s.supervised) for s in whole.sequences))
    parts = [
        replace(whole, sequences=whole.sequences[:3], denominator=weight),
        replace(whole, sequences=whole.sequences[3:], denominator=weight),
    ]
    for name, batches in (("whole", [whole]), ("parts", parts)):
        await engine.create_adapter(name, SPEC)
        for one in batches:
            await engine.forward_backward(name, one, cross_entropy)
        await engine.optim_step(name, ADAMW)
        await engine.save(name, tmp_path / name)
    assert folder(tmp_path / "whole") == folder(tmp_path / "parts")


async def test_clipping_scales_to_the_norm_and_none_leaves_it(engine):
    norms = []
    for name, max_norm in (("a", 0.01), ("b", None)):
        await engine.create_adapter(name, SPEC)
        await engine.forward_backward(name, batch(0), cross_entropy)
        norms.append((await engine.optim_step(name, AdamW(lr=1e-3, max_norm=max_norm))).grad_norm)
    assert norms[0] == norms[1] > 0.01


async def test_what_is_not_finite_is_not_applied(engine, tmp_path):
    def broken(logprobs, sequences):
        return cross_entropy(logprobs, sequences) * float("nan")

    await engine.create_adapter("a", SPEC)
    await train(engine, "a", range(2))
    await engine.save("a", tmp_path / "before", state=True)
    await engine.forward_backward("a", batch(0), broken)
    report = await engine.optim_step("a", ADAMW)
    assert (report.finite, report.step) == (False, 2)
    await engine.save("a", tmp_path / "after", state=True)
    assert folder(tmp_path / "before") == folder(tmp_path / "after")
    await train(engine, "a", [2])


async def test_a_failing_pass_leaves_no_gradients_and_serves_on(engine):
    def fails_second(logprobs, sequences):
        if len(sequences) == 1:
            raise MemoryError("no room")
        return cross_entropy(logprobs, sequences)

    await engine.create_adapter("a", SPEC)
    await engine.create_adapter("b", SPEC)
    with pytest.raises(MemoryError, match="no room"):
        await engine.forward_backward("a", batch(0), fails_second)
    with pytest.raises(InvalidRequest, match="no gradients"):
        await engine.optim_step("a", ADAMW)
    assert await train(engine, "a", range(2)) == await train(engine, "b", range(2))


async def test_the_report_counts_weights(engine):
    await engine.create_adapter("a", SPEC)
    ids = tuple(range(10))
    batch = Batch((Sequence(ids, (1.0, 0.5, 0.0, *(1.0,) * 7)),))
    report = await engine.forward_backward("a", batch, cross_entropy)
    (scores,) = await engine.logprobs("a", list(batch.sequences))
    weights = (0.5, *(1.0,) * 7)
    assert report.weight == 7.5
    assert report.mean == pytest.approx(
        -sum(w * v for w, v in zip(weights, scores.values, strict=True)) / 7.5
    )
    assert report.accuracy == pytest.approx(
        sum(w * h for w, h in zip(weights, scores.argmax, strict=True)) / 7.5
    )


ONES = (1.0, 1.0)


@pytest.mark.parametrize(
    ("sequences", "words"),
    [
        ([Sequence((), ())], "Sequence 0"),
        ([Sequence((1, 2), (1.0,))], "Sequence 0"),
        ([Sequence((1, 97), ONES)], "vocabulary of 97"),
        ([Sequence((1, -1), ONES)], "vocabulary of 97"),
        ([Sequence((1, 2), ONES), Sequence((1, 2), (1.0, float("nan")))], "Sequence 1"),
        ([Sequence((1, 2), (1.0, -1.0))], "not negative"),
        ([Sequence((1, 2), ONES, parent=0)], "parent"),
        ([Sequence((1, 2), ONES, parent=-1)], "parent"),
        ([Sequence((1, 2), ONES, parent=1), Sequence((1, 2), ONES)], "parent"),
        ([Sequence((1,) * 321, (1.0,) * 321)], "context is 320"),
        ([Sequence((1,) * 319, (1.0,) * 319), Sequence((1, 2), ONES, parent=0)], "context is 320"),
        ([Sequence((1, 2), (1.0, 0.0))], "weight above 0"),
        ([], "weight above 0"),
    ],
)
async def test_batches_that_cannot_be_right_are_refused(engine, sequences, words):
    await engine.create_adapter("a", SPEC)
    with pytest.raises(InvalidRequest, match=words):
        await engine.forward_backward("a", Batch(tuple(sequences)), cross_entropy)


async def test_names_are_checked(engine):
    await engine.create_adapter("a", SPEC)
    with pytest.raises(InvalidRequest, match="already"):
        await engine.create_adapter("a", SPEC)
    for call in (
        engine.optim_step("b", ADAMW),
        engine.drop("b"),
        engine.forward_backward("b", batch(0), cross_entropy),
    ):
        with pytest.raises(NotFound, match="b"):
            await call
    assert engine.adapters == ("a",)
    await engine.drop("a")
    assert engine.adapters == ()
