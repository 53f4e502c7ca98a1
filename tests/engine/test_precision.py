"""Weights kept in bfloat16 and widened where they are used compute what their rounded values compute in float32."""

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM

from afina.engine import losses, model, precision
from afina.engine.lora import LoraLinear
from afina.engine.sample import Row, Sampler
from afina.engine.train import forward_backward, logprobs
from afina.engine.types import AdapterSpec, SamplingParams
from tiny_families import CONFIGS


@pytest.fixture(autouse=True)
def a_chip_without_bfloat16(monkeypatch):
    monkeypatch.setattr(model, "multiplies", lambda dtype, device: dtype == torch.float32)


@pytest.fixture
def rounded(base, tmp_path):
    """A base's folder whose weights are those of another, rounded to bfloat16 and stored as float32."""

    def make(name):
        network = AutoModelForCausalLM.from_pretrained(base(name))
        network.save_pretrained(tmp_path / name)
        path = tmp_path / name / "model.safetensors"
        tensors = load_file(path)
        save_file({key: value.bfloat16().float() for key, value in tensors.items()}, path, {"format": "pt"})
        return tmp_path / name

    return make


def through(work):
    """What a generator of passes returns."""
    while True:
        try:
            next(work)
        except StopIteration as end:
            return end.value


@pytest.mark.parametrize("name", CONFIGS)
def test_scores_are_those_of_the_rounded_weights(name, base, rounded, shared_batch):
    kept, wide = model.load(base(name), dtype="bfloat16"), model.load(rounded(name))
    values = [
        torch.tensor(
            [value for answer in through(logprobs(one, None, shared_batch)) for value in answer.values]
        )
        for one in (kept, wide)
    ]
    # Some families round a factor of the embeddings to the type of the weights.
    assert torch.allclose(*values, rtol=0, atol=1e-4 if "gemma" not in name else 5e-2)


@pytest.mark.parametrize("name", ["llama", "qwen3", "qwen3-moe"])
def test_gradients_are_those_of_the_rounded_weights(name, base, rounded, stirred, shared_batch):
    gradients = []
    for one in (model.load(base(name), dtype="bfloat16"), model.load(rounded(name))):
        adapter = stirred(one)
        through(forward_backward(one, adapter, shared_batch, losses.cross_entropy))
        gradients.append({key: value.grad for key, value in adapter.named()})
    for key, value in gradients[1].items():
        assert torch.allclose(gradients[0][key], value, rtol=1e-4, atol=1e-5 * float(value.abs().max()))


def test_no_wide_copy_of_a_weight_waits_for_the_way_back(base, stirred, shared_batch):
    kept = model.load(base(), dtype="bfloat16")
    adapter = stirred(kept, AdapterSpec(rank=2, targets=("q_proj",)))
    shapes = {tuple(kept.body.layers[0].mlp.down_proj.weight.shape), (48, 32)}
    seen = []

    def pack(tensor):
        if tensor.dtype == torch.float32 and tuple(tensor.shape) in shapes:
            seen.append(tuple(tensor.shape))
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        through(forward_backward(kept, adapter, shared_batch, losses.cross_entropy))
    assert not seen


def test_linears_and_head_stay_narrow_and_the_rest_is_wide(base):
    kept = model.load(base("llama"), dtype="bfloat16")
    linears = [module.weight.dtype for module in kept.body.modules() if isinstance(module, LoraLinear)]
    assert {*linears, kept.head.weight.dtype, kept.body.embed_tokens.weight.dtype} == {torch.bfloat16}
    assert kept.body.norm.weight.dtype == torch.float32


def test_a_greedy_row_says_what_the_rounded_weights_say(base, rounded):
    said = []
    for one in (model.load(base("llama"), dtype="bfloat16"), model.load(rounded("llama"))):
        sampler, tokens = Sampler(one), []
        sampler.add(Row(None, [3, 14, 15], SamplingParams(max_tokens=12, temperature=0), tokens.append))
        while sampler.busy:
            sampler.step()
        said.append([token.id for token in tokens])
    assert said[0] == said[1]


def test_float32_is_multiplied_everywhere():
    assert precision.multiplies(torch.float32, torch.device("cpu"))
