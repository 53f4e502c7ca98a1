"""Reinforcement fine-tuning: of several replies to a prompt, those that earn more than the others become likelier."""

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass

from afina.engine import losses
from afina.engine.engine import Engine
from afina.engine.losses import Loss
from afina.engine.types import Batch
from afina.errors import RunFailed
from afina.schemas.rewards import StepTiming
from afina.schemas.runs import CheckpointSaved, RunSpec, Trials
from afina.training import looks, reward_figures
from afina.training.batches import rows_by_step, steps_per_epoch
from afina.training.reporter import Reporter
from afina.training.rewards import Graded, Judge, Tally, advantages, graded
from afina.training.rollouts import Questions, Speaker, Speech, batch_of
from afina.training.schedule import adamw_at
from afina.training.sft import diverged

MOST_FAILED = 0.5


@dataclass(frozen=True)
class Means:
    """What a run needs beside the engine: the base's language, and somebody who grades."""

    speech: Speech
    judge: Judge


async def train(spec: RunSpec, engine: Engine, reporter: Reporter, means: Means) -> None:
    """Take every step from `reporter.step` to the end; the best checkpoint on the validation file is the model.

    Raises `RunFailed` when the grader fails more often than not, or an update is no number any more.
    """
    trials = trials_of(spec)
    speaker = await Speaker.of(spec, engine, means.speech)
    questions = Questions(spec.training_tokens)
    validation = Validation.opened(spec, speaker, means.judge)
    total_steps = steps_per_epoch(len(questions), spec.batch_size) * spec.n_epochs
    reporter.started(total_steps)
    for step, numbers in rows_by_step(spec, len(questions), start=reporter.step):
        clock = Clock()
        groups = await speaker.replies(questions, numbers, each=trials.group_size, place=f"step {step}")
        tried = await graded(groups, questions, means.judge)
        refuse_broken(Tally.of(tried), step)
        sampling = clock.lap()
        await learn(spec, engine, tried, step=step, total_steps=total_steps)
        training = clock.lap()
        due = step % trials.eval_interval == 0 or step == total_steps
        looked = await validation.look(step) if due else None
        if looked is not None:
            looks.write(reporter.folder, step, [one.heard for one in looked.replies])
        timing = StepTiming(
            sampling=sampling,
            training=training,
            eval=clock.lap() if due else None,
            full_iteration=clock.total,
        )
        metrics = reward_figures.metrics(
            trials.grader, Tally.of(tried), looked, step=step, total_steps=total_steps, timing=timing
        )
        await reporter.stepped(metrics, checkpoint=due)
    await reporter.finished(best(reporter.checkpoints()))


async def learn(
    spec: RunSpec, engine: Engine, tried: Sequence[Sequence[Graded]], *, step: int, total_steps: int
) -> None:
    """One update, if there is something to learn."""
    found = lesson(spec, tried)
    if found is None:
        return
    await engine.forward_backward(spec.adapter, *found)
    taken = await engine.optim_step(spec.adapter, adamw_at(spec, step=step, total_steps=total_steps))
    if not taken.finite:
        raise diverged(step)


def lesson(spec: RunSpec, tried: Sequence[Sequence[Graded]]) -> tuple[Batch, Loss] | None:
    """The groups whose replies differ in what they earn, and the loss by which they teach; None without such groups."""
    gains = [advantages([one.reward for one in group]) for group in tried]
    telling = [(group, gain) for group, gain in zip(tried, gains, strict=True) if any(gain)]
    if not telling:
        return None
    rollouts = [[one.rollout for one in group] for group, _ in telling]
    sampled = [rollout.logprobs for group in rollouts for rollout in group]
    loss = losses.policy_gradient(
        dict(enumerate(gain for _, gains in telling for gain in gains)), dict(enumerate(sampled))
    )
    tokens = Tally.of(tried).completion_tokens
    return batch_of(rollouts, token_budget=spec.token_budget, denominator=tokens), loss


@dataclass(frozen=True)
class Validation:
    """The validation file's prompts, each asked with the same chance at every look."""

    trials: Trials
    speaker: Speaker
    questions: Questions
    judge: Judge

    @classmethod
    def opened(cls, spec: RunSpec, speaker: Speaker, judge: Judge) -> "Validation":
        """A job of this method has a validation file."""
        assert spec.validation_tokens is not None
        return cls(trials_of(spec), speaker, Questions(spec.validation_tokens), judge)

    async def look(self, step: int) -> Tally:
        """What the model earns on the whole file now."""
        numbers = range(len(self.questions))
        groups = await self.speaker.replies(
            self.questions, numbers, each=self.trials.eval_samples, place="validation"
        )
        tally = Tally.of(await graded(groups, self.questions, self.judge))
        refuse_broken(tally, step)
        return tally


class Clock:
    """Seconds since the last look at it, and since the first."""

    def __init__(self) -> None:
        self.begun = self.last = time.monotonic()

    def lap(self) -> float:
        """Since the last lap."""
        before, self.last = self.last, time.monotonic()
        return self.last - before

    @property
    def total(self) -> float:
        """Up to the last lap."""
        return self.last - self.begun


def trials_of(spec: RunSpec) -> Trials:
    """A job of this method has them."""
    assert spec.trials is not None
    return spec.trials


def refuse_broken(tally: Tally, step: int) -> None:
    """A grader that fails on more than half of the replies teaches nothing; its words stay with its owner."""
    if tally.failed <= MOST_FAILED * len(tally.replies):
        return
    flags = next(one.grade.errors for one in tally.replies if one.reward is None)
    kinds = ", ".join(name for name, value in flags if value is True)
    raise RunFailed(
        f"The grader failed on {tally.failed} of {len(tally.replies)} samples at step {step} ({kinds}). "
        "Try it on a sample with graders/run, and start the job again.",
        code="grader_failed",
    )


def best(checkpoints: Sequence[CheckpointSaved]) -> CheckpointSaved | None:
    """The one with the highest validation reward; of equal ones the earliest."""
    return max(checkpoints, key=validation_reward, default=None)


def validation_reward(checkpoint: CheckpointSaved) -> float:
    """What a checkpoint has earned on the validation file; the least there is where nobody has looked."""
    found = checkpoint.metrics.full_valid_mean_reward
    return -math.inf if found is None else found
