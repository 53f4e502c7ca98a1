"""Supervised fine-tuning: next-token loss on the assistant's words."""

import math

from afina.data.tokens import TokenFile
from afina.engine import losses
from afina.engine.engine import Engine
from afina.errors import RunFailed
from afina.schemas.fine_tuning import StepMetrics
from afina.schemas.runs import RunSpec
from afina.training.batches import batches, steps_per_epoch
from afina.training.reporter import Reporter
from afina.training.schedule import adamw_at
from afina.training.validation import Validation


async def train(spec: RunSpec, engine: Engine, reporter: Reporter) -> None:
    """Take every step from `reporter.step` to the end; raises `RunFailed` when the loss is no number any more."""
    data = TokenFile.open(spec.training_tokens)
    validation = Validation(spec) if spec.validation_tokens else None
    per_epoch = steps_per_epoch(len(data), spec.batch_size)
    total_steps = per_epoch * spec.n_epochs
    reporter.started(total_steps)
    for step, batch in batches(spec, data, start=reporter.step):
        loss = await engine.forward_backward(spec.adapter, batch, losses.cross_entropy)
        taken = await engine.optim_step(spec.adapter, adamw_at(spec, step=step, total_steps=total_steps))
        if not taken.finite:
            raise diverged(step)
        metrics = StepMetrics(
            step=step,
            total_steps=total_steps,
            train_loss=loss.mean,
            train_mean_token_accuracy=loss.accuracy,
        )
        epoch_ends = step % per_epoch == 0
        if validation:
            metrics = await validation.measure(engine, metrics, whole=epoch_ends)
            if not finite(metrics):
                raise diverged(step)
        await reporter.stepped(metrics, checkpoint=epoch_ends)
    await reporter.finished()


def finite(metrics: StepMetrics) -> bool:
    """Whether all losses are numbers: what a step has broken may show in the validation file first."""
    losses = (metrics.train_loss, metrics.valid_loss, metrics.full_valid_loss)
    return all(math.isfinite(loss) for loss in losses if loss is not None)


def diverged(step: int) -> RunFailed:
    """A loss or a gradient that is not finite: nothing of this step is kept or published."""
    return RunFailed(
        f"Training diverged at step {step}: the loss or its gradient is not a finite number. "
        "Lower learning_rate_multiplier, or look for broken rows in the training file.",
        code="training_diverged",
    )
