"""Preference runs: what they compute, what they report, and that a broken one ends as an unbroken one does."""

import math
from pathlib import Path

import numpy as np
import pytest

from afina.data import tokens
from afina.data.render import Rendered
from afina.engine.engine import Engine
from afina.errors import RunFailed
from afina.schemas.runs import Finished
from afina.training import preferences
from afina.training.preferences import Pairs


@pytest.fixture
def preference(new_spec, tmp_path):
    """The spec of a run over five pairs, with as many to validate on."""
    for name in ("pairs", "held_out"):
        rows = [
            [
                Rendered([i, 9, 8 + i, 7], [0] * 4),
                Rendered([40 + i, 50 + (i + len(name)) % 4, 2], [1, 1, 1]),
                Rendered([30 + i, 2], [1, 1]),
            ]
            for i in range(5)
        ]
        tokens.write(tmp_path / f"{name}.safetensors", rows, max_length=64, format="preference")

    def make(fence=1, **fields):
        chosen = {
            "method": "dpo",
            "beta": 0.1,
            "training_tokens": str(tmp_path / "pairs.safetensors"),
            "validation_tokens": str(tmp_path / "held_out.safetensors"),
        }
        return new_spec(fence, **(chosen | fields))

    return make


@pytest.fixture
async def engine(base):
    opened = await Engine.open(base, threads=1)
    yield opened
    await opened.close()


async def test_a_pair_is_its_prompt_once_and_two_answers(preference):
    pairs = Pairs(preference().training_tokens)
    (step, numbers, batch), *rest = preferences.batches(preference(), pairs, start=0)
    assert (step, len(numbers), len(rest)) == (1, 2, 5)
    prompt, chosen, rejected = batch.sequences[:3]
    assert [s.parent for s in batch.sequences] == [None, 0, 0, None, 3, 3]
    assert {s.group for s in (chosen, rejected)} == {numbers[0]} and prompt.group is None
    # What is computed: prompt + chosen + rejected, and nothing twice.
    assert sum(len(s.ids) for s in batch.sequences) == 2 * (4 + 3 + 2)
    assert batch.denominator == 2


async def test_the_first_step_is_where_the_reference_is(run, engine, preference, figures):
    run.engine = engine
    spec = preference()
    await run(spec)
    first, *_, last = figures(spec)
    assert first.train_loss == pytest.approx(math.log(2), abs=1e-4)
    assert first.train_reward_margin == pytest.approx(0, abs=1e-4)
    assert last.train_loss < first.train_loss
    assert last.full_valid_reward_accuracy == 1.0
    assert last.train_reward_margin == pytest.approx(
        last.train_chosen_reward - last.train_rejected_reward, abs=1e-9
    )


async def test_validation_figures_come_when_they_are_due(run, engine, preference, figures):
    run.engine = engine
    spec = preference()
    await run(spec)
    assert [m.step for m in figures(spec) if m.valid_loss is not None] == [2, 4]
    assert [m.step for m in figures(spec) if m.full_valid_loss is not None] == [3, 6]


async def test_a_broken_run_ends_as_an_unbroken_one(run_alone, preference, figures, lora):
    whole = preference(1, lora=lora)
    await run_alone(whole)
    broken = preference(2, lora=lora)
    await run_alone(broken, stop_behind=3)
    point = str(Path(broken.folder) / "resume" / "step-00000003")
    resumed = preference(3, resume=point, lora=lora)
    await run_alone(resumed)
    assert figures(broken, resumed) == figures(whole)
    assert figures(whole)[0].train_reward_margin == pytest.approx(0, abs=1e-4)
    ours, theirs = (
        [file.read_bytes() for file in (Path(spec.folder) / "final").glob("*model.safetensors")]
        for spec in (resumed, whole)
    )
    assert ours == theirs and len(ours) == 1


async def test_the_reference_is_the_model_that_the_run_begins_from(run, engine, preference, figures):
    run.engine = engine
    first = preference(1)
    await run(first)
    start = str(Path(first.folder) / "final")
    chained = preference(9, start=start, folder=str(Path(first.folder).parents[1] / "other" / "9"))
    Path(chained.folder).mkdir(parents=True)
    await run(chained)
    reference = np.load(Path(chained.folder) / "reference-training.npy")
    base = np.load(Path(first.folder) / "reference-training.npy")
    assert not np.allclose(reference, base)
    assert figures(chained)[0].train_loss == pytest.approx(math.log(2), abs=1e-4)
    assert engine.adapters == ()


async def test_the_reference_is_asked_for_once_a_job(run, engine, preference):
    run.engine = engine
    broken = preference(1)
    await run(broken, stop_behind=3)
    kept = Path(broken.folder) / "reference-training.npy"
    shifted = np.load(kept) + 1.0
    np.save(kept, shifted)
    resumed = preference(2, resume=str(Path(broken.folder) / "resume" / "step-00000003"))
    await run(resumed)
    assert not (Path(resumed.folder) / "reference-training.npy").exists()


async def test_what_diverges_is_not_published(run, engine, preference, read):
    run.engine = engine
    spec = preference(learning_rate=1e30)
    with pytest.raises(RunFailed, match="diverged at step"):
        await run(spec)
    assert not any(isinstance(event, Finished) for event in read(spec))
