"""A run's events, checkpoints and figures; and that a broken run ends as an unbroken one does."""

import json
from itertools import pairwise
from pathlib import Path

import pytest

from afina.engine.fake import FakeEngine
from afina.errors import RunFailed
from afina.schemas.runs import CheckpointSaved, Finished, ResumePointSaved, Started, Stepped, Stopped
from afina.training import resume_points
from afina.training.reporter import Reporter


def files(folder: str | Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in Path(folder).iterdir()}


def kinds(events):
    return [event.kind for event in events]


async def test_what_a_run_says(run, new_spec, read):
    spec = new_spec()
    await run(spec)
    said = read(spec)
    assert said[0] == Started(step=0, total_steps=8)
    assert said[-1] == Finished(step=8, path="final")
    assert [event.metrics.step for event in said if isinstance(event, Stepped)] == list(range(1, 9))
    # A resume point behind the first step and at the end of each epoch; a cheap one may come at others.
    at_epoch_end = [event for event in said if isinstance(event, ResumePointSaved) and event.step % 4 == 0]
    assert [event.step for event in at_epoch_end] == [4, 8]
    assert kinds(said)[:3] == ["started", "step", "resume_point"]


async def test_an_epoch_ends_with_a_checkpoint_that_holds_its_figures(run, new_spec, read, figures):
    spec = new_spec()
    await run(spec)
    saved = [event for event in read(spec) if isinstance(event, CheckpointSaved)]
    assert [event.metrics for event in saved] == [m for m in figures(spec) if m.step in (4, 8)]
    for event in saved:
        assert set(files(Path(spec.folder) / event.path)) == {
            "adapter_config.json",
            "adapter_model.safetensors",
        }
    final = files(Path(spec.folder) / "final")
    assert json.loads(final["adapter_model.safetensors"]) == {"steps": 8}


async def test_the_figures_of_a_step(run, new_spec, figures):
    spec = new_spec()
    await run(spec)
    first = figures(spec)[0]
    assert first.model_dump(exclude_none=True) == {
        "step": 1,
        "total_steps": 8,
        "train_loss": 4.0,
        "train_mean_token_accuracy": 0.0,
    }


async def test_validation_figures_come_when_they_are_due(run, new_spec, new_tokens, tmp_path, figures):
    new_tokens(3, name="validation")
    spec = new_spec(validation_tokens=str(tmp_path / "validation.safetensors"), validate_every=3, n_epochs=3)
    await run(spec)
    some = [m.step for m in figures(spec) if m.valid_loss is not None]
    whole = [m.step for m in figures(spec) if m.full_valid_loss is not None]
    assert (some, whole) == ([3, 6, 9], [4, 8, 12])
    for metrics in figures(spec):
        after = 4.0 / (1 + metrics.step)  # of the fake engine, once the step is taken
        assert metrics.valid_loss in (None, pytest.approx(after))
        assert metrics.full_valid_loss in (None, pytest.approx(after))


async def test_validation_figures_are_those_of_the_supervised_tokens(
    run, new_spec, new_tokens, tmp_path, figures
):
    """The fake calls even ids right: of rows (20+i%5, 30+i%3, 2) that is counted by hand."""
    new_tokens(2, name="validation")  # 20, 30, 2 and 21, 31, 2
    spec = new_spec(validation_tokens=str(tmp_path / "validation.safetensors"), n_epochs=1)
    await run(spec)
    assert figures(spec)[-1].full_valid_mean_token_accuracy == pytest.approx(4 / 6)


async def test_looks_at_validation_rows_walk_through_the_file(
    run, new_spec, new_tokens, tmp_path, monkeypatch
):
    new_tokens(5, name="validation")
    seen = []

    async def logprobs(adapter, sequences, *, token_budget):
        seen.append(([sequence.ids[0] for sequence in sequences], token_budget))
        return await FakeEngine.logprobs(run.engine, adapter, sequences, token_budget=token_budget)

    monkeypatch.setattr(run.engine, "logprobs", logprobs)
    await run(
        new_spec(validation_tokens=str(tmp_path / "validation.safetensors"), validate_every=1, n_epochs=1)
    )
    assert seen == [([0, 1], 256), ([2, 3], 256), ([4, 0], 256), ([0, 1, 2, 3, 4], 256)]


@pytest.mark.parametrize("stop_behind", [1, 3, 4, 7, 8])
async def test_a_run_that_is_stopped_and_resumed_ends_like_an_unbroken_one(
    run, new_spec, new_tokens, tmp_path, read, figures, stop_behind
):
    new_tokens(3, name="validation")
    fields = {"validation_tokens": str(tmp_path / "validation.safetensors"), "validate_every": 3}
    unbroken = new_spec(1, **fields)
    await run(unbroken)
    broken = new_spec(2, **fields)
    await run(broken, stop_behind=stop_behind)
    assert read(broken)[-1] == Stopped(step=stop_behind)
    point = resume_points.latest(Path(broken.folder).parent)
    assert point and point.step == 8  # the unbroken one's
    point = resume_points.verified(Path(broken.folder) / "resume" / f"step-{stop_behind:08d}")
    assert point and point.step == stop_behind
    resumed = new_spec(3, resume=str(point.path), **fields)
    await run(resumed)
    assert read(resumed)[0] == Started(step=stop_behind, total_steps=8)
    assert figures(broken, resumed) == figures(unbroken)
    assert files(Path(resumed.folder) / "final") == files(Path(unbroken.folder) / "final")


async def test_a_run_with_nothing_left_to_do_still_says_its_last_word(run, new_spec, read):
    done = new_spec(1)
    await run(done)
    again = new_spec(2, resume=str(Path(done.folder) / "resume" / "step-00000008"))
    await run(again)
    assert read(again) == [Started(step=8, total_steps=8), Finished(step=8, path="final")]


class Diverging(FakeEngine):
    """Its gradients are not finite at the third step."""

    async def optim_step(self, adapter, params):
        taken = await super().optim_step(adapter, params)
        return taken if taken.step != 3 else type(taken)(taken.step - 1, float("nan"), finite=False)


async def test_a_loss_that_is_no_number_ends_the_run_and_keeps_what_was_good(run, new_spec, read):
    run.engine = Diverging()
    spec = new_spec()
    with pytest.raises(RunFailed) as failed:
        await run(spec)
    assert failed.value.code == "training_diverged"
    assert failed.value.message.startswith("Training diverged at step 3: ")
    assert [event.metrics.step for event in read(spec) if isinstance(event, Stepped)] == [1, 2]
    assert not {"finished", "checkpoint"} & set(kinds(read(spec)))
    point = resume_points.latest(Path(spec.folder).parent)
    assert point and point.step <= 2


class DivergingUnseen(FakeEngine):
    """Only the validation file shows what the last step has done."""

    async def logprobs(self, adapter, sequences, *, token_budget=2048):
        found = await super().logprobs(adapter, sequences)
        return [type(one)((float("inf"),) * len(one.values), one.argmax) for one in found]


async def test_a_validation_loss_that_is_no_number_is_never_published(
    run, new_spec, new_tokens, tmp_path, read
):
    run.engine = DivergingUnseen()
    new_tokens(2, name="validation")
    spec = new_spec(validation_tokens=str(tmp_path / "validation.safetensors"), n_epochs=1, validate_every=99)
    with pytest.raises(RunFailed, match="Training diverged at step 4"):
        await run(spec)
    assert not {"finished", "checkpoint"} & set(kinds(read(spec)))


async def test_a_resume_point_is_written_only_when_its_events_are_durable(run, new_spec, monkeypatch):
    """Steps that are not taken again must have their figures, whatever the power does."""
    order = []
    write, sync = resume_points.write, Reporter.sync
    monkeypatch.setattr(Reporter, "sync", lambda self: (order.append("sync"), sync(self))[1])

    async def noted(folder, step, save):
        order.append("point")
        return await write(folder, step, save)

    monkeypatch.setattr(resume_points, "write", noted)
    await run(new_spec())
    assert ("point", "point") not in pairwise(order)
    assert order[0] == "sync"


async def test_the_real_engine_ends_bit_by_bit_alike(
    new_spec, new_tokens, tmp_path, figures, run_alone, lora
):
    new_tokens(3, name="validation")
    fields = {
        "validation_tokens": str(tmp_path / "validation.safetensors"),
        "validate_every": 3,
        "lora": lora,
    }
    unbroken, broken = new_spec(1, **fields), new_spec(2, **fields)
    await run_alone(unbroken)
    await run_alone(broken, stop_behind=3)
    resumed = new_spec(3, resume=str(Path(broken.folder) / "resume" / "step-00000003"), **fields)
    await run_alone(resumed)
    assert figures(broken, resumed) == figures(unbroken)
    losses = [metrics.train_loss for metrics in figures(unbroken)]
    assert losses[-1] < losses[0]
    assert files(Path(resumed.folder) / "final") == files(Path(unbroken.folder) / "final")
    assert files(Path(unbroken.folder) / "final") != files(Path(unbroken.folder) / "checkpoints" / "step-4")
