"""Direct preference optimisation: the chosen answer gains on the rejected one, held close to where the run began."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from afina.engine import losses
from afina.engine.engine import Engine
from afina.schemas.fine_tuning import StepMetrics
from afina.schemas.runs import RunSpec
from afina.training.batches import steps_per_epoch
from afina.training.preferences import Pairs, batches, references, sums
from afina.training.reporter import Reporter
from afina.training.schedule import adamw_at
from afina.training.sft import diverged, finite
from afina.training.validation import looked_at


async def train(spec: RunSpec, engine: Engine, reporter: Reporter) -> None:
    """Take every step from `reporter.step` to the end; raises `RunFailed` when the loss is no number any more."""
    assert spec.beta is not None
    pairs = Pairs(spec.training_tokens)
    reference = await references(spec, engine, pairs, name="training")
    validation = await Validation.opened(spec, engine)
    per_epoch = steps_per_epoch(len(pairs), spec.batch_size)
    total_steps = per_epoch * spec.n_epochs
    reporter.started(total_steps)
    for step, numbers, batch in batches(spec, pairs, start=reporter.step):
        loss = losses.preference(spec.beta, {n: (reference[n, 0], reference[n, 1]) for n in numbers})
        report = await engine.forward_backward(spec.adapter, batch, loss)
        taken = await engine.optim_step(spec.adapter, adamw_at(spec, step=step, total_steps=total_steps))
        if not taken.finite:
            raise diverged(step)
        rewards = spec.beta * (np.array(report.sums).reshape(-1, 2) - reference[numbers])
        figures = {"train_loss": report.mean, **measured(rewards, "train")}
        epoch_ends = step % per_epoch == 0
        if validation:
            figures |= await validation.measure(engine, step, whole=epoch_ends)
        metrics = StepMetrics.model_validate({"step": step, "total_steps": total_steps, **figures})
        if not finite(metrics):
            raise diverged(step)
        await reporter.stepped(metrics, checkpoint=epoch_ends)
    await reporter.finished()


def measured(rewards: NDArray[np.float64], of: str) -> Mapping[str, float]:
    """Means over pairs [pairs, 2] of (chosen, rejected) rewards; accuracy is the share where the chosen gains more."""
    chosen, rejected = rewards.T
    return {
        f"{of}_reward_accuracy": float((chosen > rejected).mean()),
        f"{of}_reward_margin": float((chosen - rejected).mean()),
        f"{of}_chosen_reward": float(chosen.mean()),
        f"{of}_rejected_reward": float(rejected.mean()),
    }


@dataclass(frozen=True)
class Validation:
    """The validation file's pairs and what the reference says of them."""

    spec: RunSpec
    pairs: Pairs
    reference: NDArray[np.float64]

    @classmethod
    async def opened(cls, spec: RunSpec, engine: Engine) -> "Validation | None":
        """None without a validation file."""
        if spec.validation_tokens is None:
            return None
        pairs = Pairs(spec.validation_tokens)
        return cls(spec, pairs, await references(spec, engine, pairs, name="validation"))

    async def measure(self, engine: Engine, step: int, *, whole: bool) -> Mapping[str, float]:
        """The figures due at a step: a few pairs now and then, all of them when an epoch ends."""
        if whole:
            return await self.over(engine, list(range(len(self.pairs))), "full_valid")
        if step % self.spec.validate_every:
            return {}
        return await self.over(engine, looked_at(self.spec, step, rows=len(self.pairs)), "valid")

    async def over(self, engine: Engine, numbers: list[int], of: str) -> Mapping[str, float]:
        """Loss and rewards over some pairs."""
        spec = self.spec
        assert spec.beta is not None
        policy = await sums(engine, spec.adapter, self.pairs, numbers, token_budget=spec.token_budget)
        rewards = spec.beta * (policy - self.reference[numbers])
        margins = rewards[:, 0] - rewards[:, 1]
        return {f"{of}_loss": float(np.logaddexp(0, -margins).mean()), **measured(rewards, of)}
