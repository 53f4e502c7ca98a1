"""TRL's GRPOTrainer on the same run: the same base, adapter, prompts, order and reward, its own everything else.

Its defaults are our mathematics: no reference (beta 0), advantages in the group's standard deviation plus 1e-4, the
loss "dapo" (a sum over the tokens of all replies by their number), ratios clipped at 0.2, one update to each rollout.
"""

import time
from typing import Any

import torch
from datasets import Dataset
from torch import Tensor
from transformers import AutoTokenizer
from trl.trainer.grpo_config import GRPOConfig
from trl.trainer.grpo_trainer import GRPOTrainer

from afina.training.rollouts import Questions
from bench import replies
from bench.pace import Tokens
from bench.quests import WANTED
from bench.recipe import Task
from bench.rows import steps_of
from bench.trl_run import Following, Steps, Watch, lora, rates, shared

Batch = dict[str, Tensor]


class TrialTrainer(Following, GRPOTrainer):
    """GRPOTrainer, watched. Where our side has spoken in the folder beside, it learns from what was said there."""

    def __init__(self, given: Task, watch: Watch) -> None:
        self.questions = Questions(given.spec.training_tokens)
        self.rates, self.watch = rates(given.spec, len(self.questions)), watch
        self.kept = iter(replies.kept(given))
        self.losses: list[Tensor] = []
        self.sampling = 0.0
        super().__init__(
            model=str(given.base),
            reward_funcs=[holds],
            args=arguments(given),
            train_dataset=self.rows(given),
            processing_class=AutoTokenizer.from_pretrained(given.base, padding_side="left"),
            peft_config=lora(given.spec),
            callbacks=[Steps(self)],
        )
        self.begin(given)

    def rows(self, given: Task) -> Dataset:
        """All prompts by their numbers, in the order in which they are asked, and what each wants."""
        order = [number for step in steps_of(given.spec, len(self.questions)) for number in step]
        wanted = [self.questions.items[number][WANTED] for number in order]
        return Dataset.from_dict({"prompt": [str(number) for number in order], WANTED: wanted})

    def _tokenize_prompts(self, prompts: list[str]) -> tuple[list[list[int]], None, dict[str, Any]]:
        """Ready token ids spare the peer its tokenizer."""
        return [self.questions.prompt(int(number)) for number in prompts], None, {}

    def _generate_single_turn(self, *asked: Any) -> tuple[list[list[int]], None]:
        """What our side has said, where it has; else its own replies."""
        said = next(self.kept, None)
        return super()._generate_single_turn(*asked) if said is None else ([[*one.ids] for one in said], None)

    def _generate_and_score_completions(self, inputs: list[dict[str, Any]]) -> Batch:
        """With the time it takes, and an eye on what comes out."""
        begun = time.perf_counter()
        self.seen: Batch = super()._generate_and_score_completions(inputs)
        self.sampling = time.perf_counter() - begun
        return self.seen

    def training_step(self, *given: Any) -> Tensor:
        """One pass of a step: the loss of the step is the sum of theirs."""
        self.losses.append(super().training_step(*given))
        return self.losses[-1]

    def told(self, now: float) -> None:
        """A step has ended at this time."""
        loss, self.losses = sum(map(float, self.losses)), []
        self.watch.stepped(loss, tokens(self.seen), now=now, sampling=self.sampling)


def holds(completions: list[str], want: list[str], **_: object) -> list[float]:
    """What each reply earns."""
    return [float(wanted in text) for text, wanted in zip(completions, want, strict=True)]


def tokens(made: Batch) -> Tokens:
    """All prompts with their replies, without padding."""
    ids = torch.cat([made["prompt_ids"], made["completion_ids"]], dim=1)
    real = torch.cat([made["prompt_mask"], made["completion_mask"]], dim=1).bool()
    supervised = torch.cat([torch.zeros_like(made["prompt_mask"]), made["completion_mask"]], dim=1).bool()
    return Tokens(ids[real].numpy(), supervised[real].numpy(), computed=ids.numel())


def arguments(given: Task) -> GRPOConfig:
    """How GRPOTrainer is called: no reply ends early, and a step is as many passes as its rows take."""
    spec, trials = given.spec, given.spec.trials
    assert trials is not None
    replies_of_step = spec.batch_size * trials.group_size
    rows = min(replies_of_step, given.variant.rows)
    asked = {
        "per_device_train_batch_size": rows,
        "gradient_accumulation_steps": replies_of_step // rows,
        "num_generations": trials.group_size,
        "max_completion_length": trials.max_tokens,
        "generation_kwargs": {"min_new_tokens": trials.max_tokens},
        "shuffle_dataset": False,  # the prompts stand in their order
    }
    return GRPOConfig(**shared(given) | asked)
