"""Where memory is short, layers are computed again: the same gradients, bit by bit, with less kept."""

import pytest
import torch
from transformers import AutoModelForCausalLM, LlamaConfig

from afina.engine import footprint, losses, model
from afina.engine.train import forward_backward
from afina.engine.types import Batch, Sequence


def learned(frozen, adapter, batch):
    for _ in forward_backward(frozen, adapter, batch, losses.cross_entropy):
        pass
    gradients = {name: parameter.grad.clone() for name, parameter in adapter.named()}
    adapter.discard_gradients()
    return gradients


@pytest.mark.parametrize("name", ["llama", "gemma2", "gemma4-small", "gpt-oss", "qwen3-moe"])
def test_gradients_are_the_same_bit_by_bit(name, base, stirred, shared_batch, monkeypatch):
    frozen = model.load(base(name))
    adapter = stirred(frozen)
    expected = learned(frozen, adapter, shared_batch)
    runs = []
    layer = frozen.body.layers[0].self_attn
    layer.register_forward_pre_hook(lambda *_: runs.append(1))
    learned(frozen, adapter, shared_batch)
    once = len(runs)
    monkeypatch.setattr(footprint, "free", lambda: 0)
    found = learned(frozen, adapter, shared_batch)
    assert len(runs) == 3 * once
    assert all(torch.equal(found[key], expected[key]) for key in expected)


def kept_bytes(frozen, adapter, batch):
    """What autograd saves on the way forward, each piece of memory once, the frozen weights not counted."""
    weights = {parameter.untyped_storage().data_ptr() for parameter in frozen.network.parameters()}
    kept: dict[int, int] = {}

    def pack(tensor):
        kept[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        learned(frozen, adapter, batch)
    return sum(size for place, size in kept.items() if place not in weights)


def test_what_a_pass_keeps_is_about_what_is_estimated(tmp_path, stirred):
    sizes = {"hidden_size": 128, "intermediate_size": 384, "num_hidden_layers": 6, "vocab_size": 97}
    config = LlamaConfig(**sizes, num_attention_heads=4, num_key_value_heads=2)
    AutoModelForCausalLM.from_config(config).save_pretrained(tmp_path)
    frozen = model.load(tmp_path)
    row = Sequence(tuple(i % 97 for i in range(512)), (0.0,) * 511 + (1.0,))
    found = kept_bytes(frozen, stirred(frozen), Batch((row,)))
    # The factors were measured on whole processes: gradients on their way back are in them too.
    assert 1 / 3 < found / (4 * frozen.footprint.kept(512)) < 1


def test_a_pass_is_crowded_by_what_it_keeps(base, monkeypatch):
    frozen = model.load(base())
    room = 4 * frozen.footprint.kept(100) / footprint.SHARE
    monkeypatch.setattr(footprint, "free", lambda: room)
    assert not frozen.crowded(100)
    assert frozen.crowded(101)


def test_what_is_computed_counts_and_not_what_is_stored(base, monkeypatch):
    monkeypatch.setattr(model, "multiplies", lambda dtype, device: dtype == torch.float32)
    kept = model.load(base(), dtype="bfloat16")
    assert (kept.body.embed_tokens.weight.dtype, kept.computed) == (torch.bfloat16, torch.float32)


def test_pages_of_files_are_free_memory_of_a_container(tmp_path):
    group = {
        "memory.max": "1000\n",
        "memory.current": "900\n",
        "memory.stat": "anon 300\ninactive_file 500\nactive_file 100\n",
    }
    for name, text in group.items():
        (tmp_path / name).write_text(text)
    assert footprint._left_in_group(tmp_path, otherwise=5) == 700
    (tmp_path / "memory.max").write_text("max\n")
    assert footprint._left_in_group(tmp_path, otherwise=5) == 5
