"""Writes the files of `checkpoint`, in a process that has torch."""

import shutil
from pathlib import Path

import torch
from transformers import AutoModelForCausalLM, LlamaConfig

import afina.base
from afina.engine import adapters, model
from bench.checkpoint import NewAdapter, NewBase

SPEECH = ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja", "generation_config.json")
SEED = 20261122


def write_base(new: NewBase) -> Path:
    """Random weights of a shape."""
    shape = new.shape
    config = LlamaConfig(
        vocab_size=shape.vocabulary,
        hidden_size=shape.hidden,
        intermediate_size=shape.inner,
        num_hidden_layers=shape.layers,
        num_attention_heads=shape.heads,
        num_key_value_heads=shape.kv_heads,
        max_position_embeddings=shape.context,
        initializer_range=shape.spread,
        tie_word_embeddings=True,
        bos_token_id=None,
        eos_token_id=2,
        pad_token_id=0,
    )
    torch.manual_seed(SEED)
    AutoModelForCausalLM.from_config(config).save_pretrained(new.folder)
    for name in SPEECH:
        shutil.copy(afina.base.path() / name, new.folder / name)
    return new.folder


def write_adapter(new: NewAdapter) -> Path:
    """As the engine itself makes a new adapter, and noise."""
    made = adapters.create(model.load(new.base), new.spec)
    with torch.no_grad():
        for pair in made.share.pairs.values():
            pair.b.add_(torch.randn(pair.b.shape, generator=made.generator), alpha=new.noise)
    adapters.write(new.folder, adapters.snapshot(made, state=False))
    return new.folder
