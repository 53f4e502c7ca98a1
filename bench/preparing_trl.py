"""The peer's leg of `data`: datasets reads the file, SFTTrainer renders, tokenises and masks it; no training."""

import hashlib
import shutil
import time
from multiprocessing.connection import Connection

import datasets
import numpy as np
from datasets import Dataset, load_dataset
from transformers import AutoModelForCausalLM, AutoTokenizer, LlamaConfig, PreTrainedModel
from trl.trainer.sft_config import SFTConfig
from trl.trainer.sft_trainer import SFTTrainer

import afina.base
from bench.data import Preparation, Prepared
from bench.legs import peak_bytes
from bench.trl_run import UNLABELLED


def peer(connection: Connection, given: Preparation) -> None:
    """A leg that prepares the file from nothing each time."""
    model = AutoModelForCausalLM.from_config(
        LlamaConfig(
            vocab_size=8192, hidden_size=16, intermediate_size=16, num_hidden_layers=1, num_attention_heads=1
        )
    )
    connection.send("ready")
    while (request := connection.recv()) is not None:
        shutil.rmtree(given.folder, ignore_errors=True)
        begun = time.perf_counter()
        prepared = prepare(given, model)
        seconds = time.perf_counter() - begun
        digest, tokens = digest_of(prepared) if request == "digest" else ("", 0)
        connection.send(Prepared(seconds, len(prepared), tokens, digest, peak_bytes()))


def prepare(given: Preparation, model: PreTrainedModel) -> Dataset:
    """As the documentation says, with what our side also does: the assistant's words alone are supervised."""
    raw = load_dataset(
        "json", data_files=str(given.file), split="train", cache_dir=str(given.folder / "cache")
    )
    arguments = SFTConfig(
        output_dir=str(given.folder / "trl"),
        assistant_only_loss=True,
        max_length=2048,
        dataset_num_proc=given.processes,
        bf16=False,
        use_cpu=True,
        report_to="none",
    )
    datasets.disable_progress_bars()
    tokenizer = AutoTokenizer.from_pretrained(afina.base.path())
    trainer = SFTTrainer(model=model, args=arguments, train_dataset=raw, processing_class=tokenizer)
    assert isinstance(trainer.train_dataset, Dataset)
    return trainer.train_dataset


def digest_of(rows: Dataset) -> tuple[str, int]:
    """Of all ids and of what is supervised, row by row; and the number of ids."""
    digest, tokens = hashlib.sha256(), 0
    for ids, labels in zip(rows["input_ids"], rows["labels"], strict=True):
        supervised = np.asarray(labels) != UNLABELLED
        supervised[0] = False
        digest.update(np.asarray(ids).astype(np.int32).tobytes() + supervised.astype(np.uint8).tobytes())
        tokens += len(ids)
    return digest.hexdigest(), tokens
