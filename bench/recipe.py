"""The run that both legs are given: one `RunSpec`, with the numbers that a job of the product would get."""

from dataclasses import dataclass, replace
from pathlib import Path

from afina.schemas.fine_tuning import (
    DpoHyperparameters,
    ReinforcementHyperparameters,
    SupervisedHyperparameters,
)
from afina.schemas.runs import LoraSpec, RunSpec, Trials
from afina.training import plan
from afina.training.plan import BaseFacts
from bench.variants import DEFAULT, Dtype, Variant

SEED = 5
RANK, ALPHA = 16, 32.0
ASKED = SupervisedHyperparameters(n_epochs=1, batch_size=1, learning_rate_multiplier=1.0)


@dataclass(frozen=True)
class Task:
    """What a training leg is given: a run, the folder of its base model, and to TRL how its trainer is called.

    Where replies are tried out, one id in `ends` ends them, or none does.
    """

    spec: RunSpec
    base: Path
    variant: Variant = DEFAULT
    ends: int | None = None

    def beside(self, name: str, variant: Variant = DEFAULT) -> "Task":
        """The same run in a folder of its own."""
        folder = f"{self.spec.folder}/{name}"
        return replace(self, spec=self.spec.model_copy(update={"folder": folder}), variant=variant)


def preferring(spec: RunSpec, base: Path) -> RunSpec:
    """The same run over pairs of answers, at the rate that a job over pairs gets."""
    asked = DpoHyperparameters(n_epochs=1, batch_size=1, learning_rate_multiplier=1.0)
    rate = plan.learning_rate(asked, BaseFacts.read(base))
    return spec.model_copy(update={"method": "dpo", "beta": plan.BETA, "learning_rate": rate})


def trying(spec: RunSpec, base: Path, trials: Trials) -> RunSpec:
    """The same run over prompts, at the rate that a job with a grader gets."""
    asked = ReinforcementHyperparameters(n_epochs=1, batch_size=1, learning_rate_multiplier=1.0)
    found = {
        "method": "reinforcement",
        "trials": trials,
        "learning_rate": plan.learning_rate(asked, BaseFacts.read(base)),
        "validation_tokens": spec.training_tokens,
    }
    return spec.model_copy(update=found)


def recipe(folder: Path, base: Path, *, batch: int, dtype: Dtype, threads: int) -> RunSpec:
    """One epoch over `folder/tokens.safetensors` from the adapter in `start` beside it.

    The token budget is the planner's, and no step is longer than others for a warm-up.
    """
    facts = BaseFacts.read(base)
    return RunSpec(
        job="bench",
        fence=1,
        folder=str(folder),
        method="supervised",
        base="bench",
        training_tokens=str(folder / "tokens.safetensors"),
        validation_tokens=None,
        start=str(folder.parent / "start"),
        resume=None,
        seed=SEED,
        n_epochs=1,
        batch_size=batch,
        learning_rate=plan.learning_rate(ASKED, facts),
        warmup_steps=0,
        weight_decay=0.0,
        max_grad_norm=1.0,
        lora=LoraSpec(rank=RANK, alpha=ALPHA),
        token_budget=plan.token_budget(facts),
        validate_every=1,
        dtype=dtype,
        threads=threads,
    )
