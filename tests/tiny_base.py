"""Base models of random weights that speak the bundled one's language: small enough to train within a test."""

import shutil
from pathlib import Path

import torch
from transformers import AutoModelForCausalLM, LlamaConfig, PretrainedConfig, Qwen3Config

import afina.base

SPEECH = ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja", "generation_config.json")
VOCABULARY = 8192
CONTEXT = 512
SIZES = {
    "vocab_size": VOCABULARY,
    "hidden_size": 16,
    "intermediate_size": 32,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
    "max_position_embeddings": CONTEXT,
    "initializer_range": 0.3,
    "tie_word_embeddings": True,
    "bos_token_id": None,
    "eos_token_id": 2,
}
QUIET = '{%- set quiet = "" if enable_thinking | default(true) else "<quiet>\\n" -%}\n'


def make(folder: Path) -> Path:
    """A Llama's files; they are the same each time."""
    return write(folder, LlamaConfig(**SIZES))


def make_qwen3(folder: Path) -> Path:
    """The same of another family, with a template that can be told not to think aloud."""
    write(folder, Qwen3Config(**SIZES, head_dim=8))
    template = folder / "chat_template.jinja"
    opening = '"<|im_start|>assistant\\n"'
    switched = template.read_text().replace(opening, f"{opening} ~ quiet")
    template.write_text(QUIET + switched)
    return folder


def write(folder: Path, config: PretrainedConfig) -> Path:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        AutoModelForCausalLM.from_config(config).save_pretrained(folder)
    for name in SPEECH:
        shutil.copy(afina.base.path() / name, folder / name)
    return folder
