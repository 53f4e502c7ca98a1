"""TRL's DPOTrainer on the same run: the same base, adapter, pairs, order and beta, its own everything else."""

from datasets import Dataset
from transformers import AutoTokenizer
from trl.trainer.dpo_config import DPOConfig
from trl.trainer.dpo_trainer import DPOTrainer

from afina.training.preferences import Pairs
from bench import references
from bench.recipe import Task
from bench.rows import steps_of
from bench.trl_run import Steps, Watch, Watched, lora, rates, shared


class PreferenceTrainer(Watched, DPOTrainer):
    """DPOTrainer, watched."""

    def __init__(self, given: Task, watch: Watch) -> None:
        assert given.spec.beta is not None
        self.given, self.pairs = given, Pairs(given.spec.training_tokens)
        self.order = [number for step in steps_of(given.spec, len(self.pairs)) for number in step]
        self.rates, self.watch = rates(given.spec, len(self.pairs)), watch
        super().__init__(
            model=str(given.base),
            args=DPOConfig(
                beta=given.spec.beta,
                max_length=None,
                precompute_ref_log_probs=given.variant.references,
                **shared(given),
            ),
            train_dataset=self.rows(),
            processing_class=AutoTokenizer.from_pretrained(given.base),
            peft_config=lora(given.spec),
            callbacks=[Steps(self)],
        )
        self.begin(given)

    def rows(self) -> Dataset:
        """All pairs in the order in which they are trained; ready token ids spare the peer its tokenizer."""
        columns: dict[str, list[list[int]]] = {"prompt_ids": [], "chosen_ids": [], "rejected_ids": []}
        for number in self.order:
            for column, part in zip(columns.values(), self.pairs.sequences([number]), strict=True):
                column.append(list(part.ids))
        return Dataset.from_dict(columns)

    def _prepare_dataset(self, dataset: Dataset, *_: object) -> Dataset:
        """It has its ids."""
        return dataset

    def _precompute_ref_logps(self, dataset: Dataset, *_: object, **__: object) -> Dataset:
        """They are known, which spares the peer this pass too."""
        known = references.read(self.given)[self.order]
        return dataset.add_column("ref_chosen_logps", known[:, 0].tolist()).add_column(
            "ref_rejected_logps", known[:, 1].tolist()
        )
