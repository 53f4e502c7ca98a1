"""Which base models are taken and which are refused."""

import json
import shutil

import pytest
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM, GPT2Config

from afina.engine import model
from afina.engine.engine import Engine
from afina.errors import InvalidRequest


@pytest.fixture
def copy(base, tmp_path):
    return shutil.copytree(base("llama"), tmp_path / "copy")


def edit(folder, **changes):
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def test_sizes_are_the_config_s(base):
    frozen = model.load(base("llama"))
    assert (frozen.vocab_size, frozen.max_positions, frozen.layers) == (97, 320, 2)
    assert len(frozen.shapes) == 14 and frozen.shapes["1.mlp.down_proj"] == (48, 32)
    assert not any(p.requires_grad for p in frozen.body.parameters())


async def test_an_unknown_family_is_refused_by_name(tmp_path):
    AutoModelForCausalLM.from_config(GPT2Config(n_embd=8, n_layer=1, n_head=1, vocab_size=9)).save_pretrained(
        tmp_path
    )
    with pytest.raises(InvalidRequest, match="gpt2"):
        await Engine.open(tmp_path)


@pytest.mark.parametrize("kind", ["dynamic", "longrope"])
def test_rotary_embeddings_that_look_at_neighbours_are_refused(copy, kind):
    factors = {"short_factor": [1.0] * 4, "long_factor": [1.0] * 4, "original_max_position_embeddings": 64}
    edit(copy, rope_parameters={"rope_type": kind, "rope_theta": 1e4, "factor": 2.0} | factors)
    with pytest.raises(InvalidRequest, match=kind):
        model.load(copy)


def test_pickled_weights_are_not_read(copy):
    (copy / "model.safetensors").rename(copy / "pytorch_model.bin")
    with pytest.raises(InvalidRequest, match="safetensors"):
        model.load(copy)


def test_a_missing_tensor_is_not_made_up(copy):
    tensors = load_file(copy / "model.safetensors")
    del tensors["model.layers.1.mlp.up_proj.weight"]
    save_file(tensors, copy / "model.safetensors", {"format": "pt"})
    with pytest.raises(InvalidRequest, match="lack tensors"):
        model.load(copy)


def test_a_folder_without_a_model_and_an_unknown_dtype_are_refused(base, tmp_path):
    with pytest.raises(InvalidRequest, match=r"config\.json"):
        model.load(tmp_path)
    with pytest.raises(InvalidRequest, match="dtype"):
        model.load(base("llama"), dtype="int8")
