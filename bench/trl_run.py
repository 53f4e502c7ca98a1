"""TRL's SFTTrainer on the same run: the same base, adapter, rows and order, its own everything else."""

import time
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import torch
import transformers
from datasets import Dataset
from peft import LoraConfig, set_peft_model_state_dict
from safetensors.torch import load_file
from torch import Tensor
from torch.optim.lr_scheduler import LambdaLR
from transformers import AutoTokenizer, TrainerCallback, TrainerControl, TrainerState, TrainingArguments
from trl.trainer.sft_config import SFTConfig
from trl.trainer.sft_trainer import SFTTrainer

from afina.data.tokens import TokenFile
from afina.engine.types import LINEARS
from afina.schemas.runs import RunSpec
from afina.training.schedule import adamw_at
from bench.pace import Tokens
from bench.recipe import Task
from bench.rows import steps_of

UNLABELLED = -100


class Watch(Protocol):
    """Who is told about steps."""

    def stepped(self, loss: float, tokens: Tokens, *, now: float, sampling: float = 0.0) -> object:
        """A step has ended."""
        ...


class Following(transformers.Trainer):
    """Begins as our run does and has our rate at every step; somebody is told about each."""

    rates: Sequence[float]
    watch: Watch

    def begin(self, given: Task) -> None:
        """From the adapter that the run starts with."""
        assert given.spec.start is not None
        start = load_file(Path(given.spec.start) / "adapter_model.safetensors")
        missing = set_peft_model_state_dict(self.model, start).unexpected_keys
        assert not missing, "PEFT knows these tensors under the same names"

    def create_scheduler(
        self, num_training_steps: int, optimizer: torch.optim.Optimizer | None = None
    ) -> LambdaLR:
        """The rates of our schedule."""
        assert isinstance(self.optimizer, torch.optim.Optimizer)
        self.lr_scheduler = LambdaLR(
            self.optimizer, lambda step: self.rates[min(step, len(self.rates) - 1)] / self.args.learning_rate
        )
        return self.lr_scheduler

    @abstractmethod
    def told(self, now: float) -> None:
        """A step has ended at this time."""


class Watched(Following):
    """With an eye on what each step is given; nothing else is changed."""

    seen: Mapping[str, Tensor]
    loss: Tensor

    def training_step(self, model: torch.nn.Module, inputs: dict[str, Tensor], *more: object) -> Tensor:
        """Remember what went in and what came out; looked at after the step's time was taken."""
        self.seen = dict(inputs)
        self.loss = super().training_step(model, inputs, *more)
        return self.loss

    def told(self, now: float) -> None:
        """A step has ended at this time."""
        self.watch.stepped(float(self.loss), seen(self.seen), now=now)


class Trainer(Watched, SFTTrainer):
    """SFTTrainer, watched."""

    def __init__(self, given: Task, watch: Watch) -> None:
        data = TokenFile.open(given.spec.training_tokens)
        self.rates, self.watch = rates(given.spec, len(data)), watch
        super().__init__(
            model=str(given.base),
            args=arguments(given),
            train_dataset=dataset(given.spec, data),
            processing_class=AutoTokenizer.from_pretrained(given.base),
            peft_config=lora(given.spec),
            callbacks=[Steps(self)],
        )
        self.begin(given)


class Steps(TrainerCallback):
    """Tells the watch about the end of each step."""

    def __init__(self, trainer: Following) -> None:
        self.trainer = trainer

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: object
    ) -> None:
        """A step has ended."""
        self.trainer.told(time.perf_counter())


def seen(inputs: Mapping[str, Tensor]) -> Tokens:
    """The tokens of a collated batch without its padding."""
    ids = inputs["input_ids"]
    real = inputs["attention_mask"].bool() if "attention_mask" in inputs else torch.ones_like(ids).bool()
    supervised = inputs["labels"] != UNLABELLED if "labels" in inputs else inputs["completion_mask"].bool()
    return Tokens(ids[real].numpy(), supervised[real].numpy(), computed=ids.numel())


def rates(spec: RunSpec, rows: int) -> list[float]:
    """The learning rate of each step."""
    total = spec.n_epochs * -(-rows // spec.batch_size)
    return [adamw_at(spec, step=step, total_steps=total).lr for step in range(1, total + 1)]


def dataset(spec: RunSpec, data: TokenFile) -> Dataset:
    """All epochs' rows in the order in which they are trained; ready token ids spare the peer its tokenizer."""
    rows: dict[str, list[list[int]]] = {"input_ids": [], "labels": []}
    for row in (row for step in steps_of(spec, len(data)) for row in step):
        ids, weights = (x.tolist() for x in data[row])
        labels = [i if weight else UNLABELLED for i, weight in zip(ids, weights, strict=True)]
        rows["input_ids"].append(ids)
        rows["labels"].append([UNLABELLED, *labels[1:]])
    return Dataset.from_dict(rows)


def arguments(given: Task) -> SFTConfig:
    """How SFTTrainer is called."""
    spec, variant = given.spec, given.variant
    longest = max(TokenFile.open(spec.training_tokens).stats.longest, 1)
    return SFTConfig(
        max_length=longest if variant.layout == "packed" else None,
        packing=variant.layout == "packed",
        padding_free=variant.layout == "padding_free",
        **shared(given),
    )


def shared(given: Task) -> dict[str, Any]:
    """The arguments of every trainer: defaults, but for what both sides share and what the variant changes."""
    spec, variant = given.spec, given.variant
    return {
        "output_dir": str(Path(spec.folder) / "trl"),
        "model_init_kwargs": {"dtype": variant.dtype},
        "bf16": variant.autocast,
        "use_cpu": True,
        "gradient_checkpointing": variant.checkpointing,
        "per_device_train_batch_size": spec.batch_size,
        "num_train_epochs": 1,
        "train_sampling_strategy": "sequential",  # the rows stand in their order
        "learning_rate": spec.learning_rate,
        "weight_decay": spec.weight_decay,
        "max_grad_norm": spec.max_grad_norm,
        "seed": spec.seed,
        "save_strategy": "no",
        "report_to": "none",
        "disable_tqdm": True,
    }


def lora(spec: RunSpec) -> LoraConfig:
    """The adapter's shape."""
    return LoraConfig(
        r=spec.lora.rank,
        lora_alpha=spec.lora.alpha,  # type: ignore[arg-type] - it may well be a fraction
        lora_dropout=0.0,
        target_modules=list(LINEARS),
        task_type="CAUSAL_LM",
    )
