"""Reinforcement runs: what they try out, what they learn from it, and which checkpoint becomes the model."""

import math
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from afina.data import tokens
from afina.data.jsonl import Line
from afina.data.render import Rendered
from afina.engine.engine import Engine
from afina.engine.types import AdapterSpec
from afina.errors import RunFailed
from afina.graders.grade import Grade
from afina.schemas.runs import CheckpointSaved, Finished, Trials
from afina.schemas.structure import JsonForm
from afina.training import items, rft
from afina.training.reporter import Reporter, RunStopped
from afina.training.rewards import Graded
from afina.training.rft import Means
from afina.training.rollouts import Questions, Speaker, batch_of, seed_of

LETTER = {
    "type": "string_check",
    "name": "letter",
    "input": "{{sample.output_text}}",
    "reference": "{{item.letter}}",
    "operation": "like",
}
ROWS = 4


@pytest.fixture
def reinforcement(new_spec, tmp_path):
    """The spec of a run over four prompts in two epochs of two steps, with four prompts to validate on."""
    for place, name in enumerate(("prompts", "held_out")):
        path = tmp_path / f"{name}.safetensors"
        rows = [[Rendered([9 + place, 40 + row, 7], [0] * 3)] for row in range(ROWS)]
        tokens.write(path, rows, max_length=64, format="reinforcement")
        lines = [{"messages": [], "letter": "k", "held_out": bool(place)} for _ in range(ROWS)]
        items.write(items.beside(path), [Line(number, line) for number, line in enumerate(lines, 1)])

    def make(fence=1, *, trials=None, **fields):
        tried = {"group_size": 4, "max_tokens": 6, "eval_interval": 1, "eval_samples": 2, "grader": LETTER}
        chosen = {
            "method": "reinforcement",
            "trials": Trials.model_validate(tried | (trials or {})),
            "training_tokens": str(tmp_path / "prompts.safetensors"),
            "validation_tokens": str(tmp_path / "held_out.safetensors"),
        }
        return new_spec(fence, **(chosen | fields))

    return make


@pytest.fixture
async def engine(base):
    opened = await Engine.open(base, threads=1)
    yield opened
    await opened.close()


@pytest.fixture
def learner(run, engine):
    run.engine = engine
    return run


def last_word(events) -> Finished:
    assert isinstance(events[-1], Finished)
    return events[-1]


def weights(spec, path: str) -> bytes:
    [file] = (Path(spec.folder) / path).glob("*model.safetensors")
    return file.read_bytes()


async def test_a_step_has_the_figures_of_openai(learner, reinforcement, figures, read):
    spec = reinforcement()
    await learner(spec)
    found = figures(spec)
    assert [(m.step, m.total_steps) for m in found] == [(step, 4) for step in range(1, 5)]
    for metrics in found:
        assert 0 <= metrics.train_mean_reward == metrics.scores.train_reward_mean <= 1
        assert metrics.full_valid_mean_reward == metrics.scores.graders[0].valid_reward_mean
        assert metrics.full_valid_mean_parse_error == metrics.mean_unresponsive_rewards == 0
        assert 1 <= metrics.completion_tokens_mean <= 6
        assert metrics.usage.samples.train_completion_tokens == 8 * metrics.completion_tokens_mean
        assert metrics.usage.samples.train_prompt_tokens == 2 * 4 * 3
        timed = metrics.timing.step
        assert timed.sampling + timed.training + timed.eval == pytest.approx(timed.full_iteration)
    assert [e.metrics.step for e in read(spec) if isinstance(e, CheckpointSaved)] == [1, 2, 3, 4]


async def test_the_validation_file_is_looked_at_when_it_is_due(learner, reinforcement, figures):
    spec = reinforcement(trials={"eval_interval": 3})
    await learner(spec)
    assert [m.step for m in figures(spec) if m.full_valid_mean_reward is not None] == [3, 4]


async def test_what_is_rewarded_becomes_likelier_than_what_is_not(reinforcement, engine, speech):
    spec = reinforcement(learning_rate=0.003)
    await engine.create_adapter(spec.adapter, shape(spec))
    speaker = await Speaker.of(spec, engine, speech)
    groups = await speaker.replies(Questions(spec.training_tokens), [1], each=4, place="step 1")
    batch = batch_of(groups, token_budget=256, denominator=1.0)

    async def likelihoods():
        found = await engine.logprobs(spec.adapter, list(batch.sequences))
        return np.array([sum(one.values) for one in found[1:]])

    before = await likelihoods()
    tried = [[Graded(one, Grade(float(k == 2), 0.0)) for k, one in enumerate(groups[0])]]
    await rft.learn(spec, engine, tried, step=2, total_steps=4)
    gained = await likelihoods() - before
    assert gained[2] > 0 > np.delete(gained, 2).mean()
    assert gained[2] == max(gained)


async def test_equal_rewards_leave_the_adapter_as_it_is(learner, reinforcement, figures):
    """Every reply contains nothing, so every reply earns the same."""
    spec = reinforcement(trials={"grader": LETTER | {"reference": ""}})
    await learner(spec)
    assert {metrics.train_mean_reward for metrics in figures(spec)} == {1.0}
    assert weights(spec, "checkpoints/step-1") == weights(spec, "checkpoints/step-4")


async def test_a_broken_run_ends_as_an_unbroken_one(run_alone, reinforcement, figures, read, lora):
    whole = reinforcement(1, lora=lora)
    await run_alone(whole)
    elsewhere = Path(whole.folder).parents[1] / "broken"
    folders = {fence: elsewhere / str(fence) for fence in (2, 3)}
    for folder in folders.values():
        folder.mkdir(parents=True)
    broken = reinforcement(2, folder=str(folders[2]), lora=lora)
    await run_alone(broken, stop_behind=2)
    point = str(folders[2] / "resume" / "step-00000002")
    resumed = reinforcement(3, folder=str(folders[3]), resume=point, lora=lora)
    await run_alone(resumed)
    untimed = [metrics.model_copy(update={"timing": None}) for metrics in figures(broken, resumed)]
    assert untimed == [metrics.model_copy(update={"timing": None}) for metrics in figures(whole)]
    assert weights(resumed, "checkpoints/step-4") == weights(whole, "checkpoints/step-4")
    ours, theirs = last_word(read(resumed)), last_word(read(whole))
    assert ours.best == theirs.best
    assert weights(resumed, ours.path) == weights(whole, theirs.path)


@pytest.fixture
def scripted(engine, speech):
    """Runs with a judge who rewards each look at the validation file as he is told, and training replies by length."""

    async def go(spec, rewards, *, stop_behind=None, asked=0):
        seen = [asked]

        async def judge(text, item):
            if not item["held_out"]:
                return Grade(float(len(text)), 0.0)
            look, seen[0] = seen[0] // (ROWS * spec.trials.eval_samples), seen[0] + 1
            return Grade(rewards[look], 0.0)

        start = Path(spec.resume) if spec.resume else None
        await engine.create_adapter(spec.adapter, shape(spec), start=start)
        step = 2 if spec.resume else 0
        reporter = Stopping(spec, engine, step=step, stop_behind=stop_behind)
        try:
            await rft.train(spec, engine, reporter, Means(speech, judge))
        except RunStopped:
            pass
        finally:
            reporter.close()
            await engine.drop(spec.adapter)

    return go


class Stopping(Reporter):
    def __init__(self, spec, engine, *, step, stop_behind):
        super().__init__(spec, engine, step=step)
        self.stop_behind = stop_behind

    async def stepped(self, metrics, *, checkpoint):
        self.stopping = metrics.step == self.stop_behind
        await super().stepped(metrics, checkpoint=checkpoint)


def shape(spec):
    return AdapterSpec(rank=spec.lora.rank, alpha=spec.lora.alpha, seed=spec.seed)


@pytest.mark.parametrize(
    ("rewards", "best"), [([0.2, 0.9, 0.3, 0.1], 2), ([0.5, 0.5, 0.5, 0.5], 1), ([-4, -3, -2, -1], 4)]
)
async def test_a_run_whose_reward_peaks_early_keeps_the_early_checkpoint(
    scripted, reinforcement, read, rewards, best
):
    spec = reinforcement()
    await scripted(spec, rewards)
    word = last_word(read(spec))
    assert (word.step, word.best) == (4, best)
    assert weights(spec, word.path) == weights(spec, f"checkpoints/step-{best}")
    assert weights(spec, "checkpoints/step-1") != weights(spec, "checkpoints/step-4")


async def test_the_peak_of_a_predecessor_counts(scripted, reinforcement, read):
    first = reinforcement(1)
    await scripted(first, [0.9, 0.2], stop_behind=2)
    second = reinforcement(2, resume=str(Path(first.folder) / "resume" / "step-00000002"))
    await scripted(second, [0.3, 0.4])
    word = last_word(read(second))
    assert word.best == 1
    assert weights(second, word.path) == weights(first, "checkpoints/step-1")


async def test_a_grader_that_fails_on_most_samples_ends_the_run(learner, reinforcement, read):
    spec = reinforcement(trials={"grader": LETTER | {"reference": "{{item.gone}}"}})
    with pytest.raises(RunFailed, match="failed on 8 of 8 samples at step 1") as failed:
        await learner(spec)
    assert failed.value.code == "grader_failed" and "invalid_variable_error" in failed.value.message
    assert not any(isinstance(event, Finished) for event in read(spec))


async def test_samples_that_the_grader_fails_on_earn_nothing_and_not_zero(
    reinforcement, engine, speech, figures
):
    spec = reinforcement(trials={"group_size": 4})
    count = 0

    async def judge(text, item):
        nonlocal count
        count += 1
        return Grade(None, 0.0) if count % 2 else Grade(1.0, 0.0)

    await engine.create_adapter(spec.adapter, shape(spec))
    reporter = Reporter(spec, engine)
    await rft.train(spec, engine, reporter, Means(speech, judge))
    reporter.close()
    for metrics in figures(spec):
        assert metrics.train_mean_reward == metrics.full_valid_mean_reward == 1.0
        assert metrics.mean_unresponsive_rewards == 0.5
        assert metrics.errors.graders[0].train_errors == 4
    assert weights(spec, "checkpoints/step-1") == weights(spec, "checkpoints/step-4")


FORM = JsonForm(
    json_schema={
        "type": "object",
        "properties": {"a": {"type": "boolean"}},
        "required": ["a"],
        "additionalProperties": False,
    }
)
FIELD = LETTER | {"input": "{{sample.output_json.a}}", "reference": "true", "operation": "eq"}


async def test_replies_are_held_to_the_form(learner, reinforcement, figures):
    spec = reinforcement(trials={"grader": FIELD, "form": FORM, "max_tokens": 48}, n_epochs=1)
    await learner(spec)
    for metrics in figures(spec):
        assert metrics.full_valid_mean_parse_error == metrics.mean_unresponsive_rewards == 0
    assert any(metrics.train_mean_reward > 0 for metrics in figures(spec))


async def test_what_is_not_json_earns_zero_and_is_counted(learner, reinforcement, figures):
    spec = reinforcement(trials={"grader": FIELD}, n_epochs=1)
    await learner(spec)
    for metrics in figures(spec):
        assert metrics.train_mean_reward == 0 and metrics.mean_unresponsive_rewards == 0
        assert metrics.full_valid_mean_parse_error == 1.0


async def test_parts_of_a_grader_have_figures_of_their_own(learner, reinforcement, figures):
    grader = {
        "type": "multi",
        "graders": {"letter": LETTER, "always": LETTER | {"reference": ""}},
        "calculate_output": "0.5 * letter + 0.5 * always",
    }
    spec = reinforcement(trials={"grader": grader}, n_epochs=1)
    await learner(spec)
    for metrics in figures(spec):
        parts = {part.name: part.train_reward_mean for part in metrics.scores.graders}
        assert parts["always"] == 1
        assert metrics.train_mean_reward == pytest.approx(0.5 + 0.5 * parts["letter"])


async def test_what_diverges_is_not_published(learner, reinforcement, read):
    spec = reinforcement(learning_rate=1e30, n_epochs=9, trials={"group_size": 16})
    with pytest.raises(RunFailed):
        await learner(spec)
    assert not any(isinstance(event, Finished) for event in read(spec))


async def test_a_prompt_is_computed_once_for_its_group(reinforcement, engine, speech):
    spec = reinforcement()
    await engine.create_adapter(spec.adapter, shape(spec))
    speaker = await Speaker.of(spec, engine, speech)
    questions = Questions(spec.training_tokens)
    groups = await speaker.replies(questions, [2, 0], each=3, place="step 1")
    batch = batch_of(groups, token_budget=256, denominator=1.0)
    assert [s.parent for s in batch.sequences] == [None, 0, 0, 0, None, 4, 4, 4]
    assert [s.group for s in batch.sequences] == [None, 0, 1, 2, None, 3, 4, 5]
    again = await speaker.replies(questions, [0, 2], each=3, place="step 1")
    assert [group[0].ids for group in again[::-1]] == [group[0].ids for group in groups]
    elsewhere = await speaker.replies(questions, [2, 0], each=3, place="step 2")
    assert [r.ids for g in elsewhere for r in g] != [r.ids for g in groups for r in g]
    scored = await engine.logprobs(spec.adapter, list(batch.sequences))
    ours = [found.values for found, s in zip(scored, batch.sequences, strict=True) if s.group is not None]
    theirs = [rollout.logprobs for group in groups for rollout in group]
    for values, sampled in zip(ours, theirs, strict=True):
        assert list(values) == pytest.approx(list(sampled), abs=1e-4)
    assert math.isfinite(sum(map(sum, ours)))


@pytest.mark.parametrize(
    ("text", "thought"), [("so</think>yes", 10), ("so</think>", 10), ("yes", 0), ("", 0)]
)
def test_reasoning_is_counted_up_to_its_end(text, thought):
    letters = SimpleNamespace(decode=lambda ids: "".join(map(chr, ids)))
    speaker = Speaker(None, None, letters, None)
    assert speaker.thought([ord(letter) for letter in text], text) == thought


def test_each_reply_has_chance_of_its_own():
    seeds = {seed_of(*key) for key in [(5, "step 1", 0, 0), (6, "step 1", 0, 0), (5, "step 2", 0, 0)]}
    seeds |= {seed_of(5, "step 1", n, k) for n in range(9) for k in range(9)}
    assert len(seeds) == 2 + 81 and all(0 <= seed < 2**63 for seed in seeds)
