"""The gradients of a run's first step, as both sides compute them: losses hide errors of several per cent."""

import asyncio
from contextlib import suppress
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from afina.data.render import Renderer
from afina.data.tokens import TokenFile
from afina.engine import adapters, losses, model
from afina.engine.losses import Loss
from afina.engine.train import forward_backward
from afina.engine.types import Batch
from afina.host.runs import adapter_spec, start_folder
from afina.schemas.runs import RunSpec
from afina.training import preferences, rft
from afina.training.batches import batches
from afina.training.preferences import Pairs
from afina.training.rewards import graded
from afina.training.rollouts import Questions, Rollout
from bench import references, replies, trying
from bench.pace import Ended, Tokens
from bench.recipe import Task
from bench.rows import steps_of
from bench.trl_preferences import PreferenceTrainer
from bench.trl_run import Following, Trainer
from bench.trl_trials import TrialTrainer


def ours(given: Task) -> Path:
    """A file of our gradients after the first batch, clipped as the optimizer gets them."""
    spec = given.spec
    torch.set_num_threads(spec.threads)
    base, start = model.load(given.base), start_folder(spec)
    assert start is not None
    adapter = adapters.load(base, adapter_spec(spec), start)
    for _ in forward_backward(base, adapter, *first(given)):
        pass
    nn.utils.clip_grad_norm_(adapter.parameters, spec.max_grad_norm)
    return _written(spec, dict(adapter.named()))


def first(given: Task) -> tuple[Batch, Loss]:
    """The first batch of the run's method, and its loss."""
    spec = given.spec
    if spec.method == "supervised":
        _, batch = next(batches(spec, TokenFile.open(spec.training_tokens), start=0))
        return batch, losses.cross_entropy
    if spec.method == "reinforcement":
        return asyncio.run(lesson(given))
    assert spec.beta is not None
    known = references.read(given)
    _, numbers, batch = next(preferences.batches(spec, Pairs(spec.training_tokens), start=0))
    return batch, losses.preference(spec.beta, {n: (known[n, 0], known[n, 1]) for n in numbers})


async def lesson(given: Task) -> tuple[Batch, Loss]:
    """What the replies of the first step teach."""
    questions, said = Questions(given.spec.training_tokens), replies.kept(given)[0]
    numbers = steps_of(given.spec, len(questions))[0]
    each, decode = len(said) // len(numbers), Renderer(given.base).decode
    made = [
        Rollout(numbers[i // each], tuple(one.prompt), tuple(one.ids), tuple(one.logprobs), decode(one.ids))
        for i, one in enumerate(said)
    ]
    groups = [made[i : i + each] for i in range(0, len(made), each)]
    found = rft.lesson(given.spec, await graded(groups, questions, trying.judge(given.spec)))
    assert found is not None, "some replies earn more than others"
    return found


class Once:
    """Ends the peer's training after its first step."""

    def stepped(self, loss: float, tokens: Tokens, *, now: float, sampling: float = 0.0) -> None:
        """The first step has ended."""
        raise Ended


class Keeping(Following):
    """Keeps the gradients that the optimizer is about to get."""

    kept: dict[str, Tensor]

    def create_optimizer(self, *more: object) -> torch.optim.Optimizer:
        """The same optimizer, which shows us its gradients first."""
        optimizer = super().create_optimizer(*more)
        optimizer.register_step_pre_hook(lambda *_: self.keep())
        return optimizer

    def keep(self) -> None:
        """A copy of the gradients, under the names that PEFT stores."""
        assert self.model is not None
        self.kept = {
            name.replace(".default.", "."): p.grad.clone()
            for name, p in self.model.named_parameters()
            if p.grad is not None
        }


class KeepingTrainer(Keeping, Trainer):
    """SFTTrainer, which keeps them."""


class KeepingPreferenceTrainer(Keeping, PreferenceTrainer):
    """DPOTrainer, which keeps them."""


class KeepingTrialTrainer(Keeping, TrialTrainer):
    """GRPOTrainer, which keeps them."""


KEEPING = {
    "supervised": KeepingTrainer,
    "dpo": KeepingPreferenceTrainer,
    "reinforcement": KeepingTrialTrainer,
}


def peer(given: Task) -> Path:
    """A file of TRL's gradients at its first optimizer step."""
    torch.set_num_threads(given.spec.threads)
    trainer = KEEPING[given.spec.method](given, Once())
    with suppress(Ended):
        trainer.train()
    path = Path(given.spec.folder) / "gradients.safetensors"
    save_file(trainer.kept, path)
    return path


def _written(spec: RunSpec, parameters: dict[str, nn.Parameter]) -> Path:
    path = Path(spec.folder) / "gradients.safetensors"
    save_file({name: p.grad for name, p in parameters.items() if p.grad is not None}, path)
    return path
