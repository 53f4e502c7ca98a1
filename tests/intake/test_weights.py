import json
import shutil

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file
from transformers import (
    AutoModelForCausalLM,
    Gemma2Config,
    Gemma3TextConfig,
    GraniteConfig,
    LlamaConfig,
    Ministral3Config,
    MistralConfig,
    Phi3Config,
    Qwen2Config,
    Qwen3Config,
)

from afina.intake import network, shapes, weights
from afina.intake.kinds import KINDS
from afina.intake.unfit import Unfit

SMALL = {
    "vocab_size": 32,
    "hidden_size": 16,
    "intermediate_size": 24,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 64,
    "bos_token_id": None,
    "eos_token_id": None,
    "pad_token_id": None,
}
NAMES = ("model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors")


@pytest.mark.parametrize(
    "config",
    [
        LlamaConfig(**SMALL),
        LlamaConfig(**SMALL, attention_bias=True, mlp_bias=True, tie_word_embeddings=True),
        MistralConfig(**SMALL, head_dim=8),
        Qwen2Config(**SMALL),
        Qwen3Config(**SMALL, head_dim=8),
        Qwen3Config(**SMALL, head_dim=8, attention_bias=True),
        Ministral3Config(**SMALL, head_dim=8),
        GraniteConfig(**SMALL, logits_scaling=8.0),
        Gemma2Config(**SMALL, head_dim=8),
        Gemma3TextConfig(**SMALL, head_dim=8),
        Phi3Config(**SMALL),
    ],
    ids=lambda config: config.model_type,
)
def test_the_tensors_are_those_that_transformers_writes(tmp_path, config, monkeypatch):
    monkeypatch.setattr(network, "FAMILIES", tuple(KINDS))
    model = AutoModelForCausalLM.from_config(config)
    model.save_pretrained(tmp_path)
    found = network.read(tmp_path)
    tensors = weights.read(tmp_path, found)
    assert shapes.expected(found) == {name: tensor.shape for name, tensor in tensors.items()}
    assert shapes.parameters(found) == model.num_parameters()


def test_half_precision_and_samples(folder):
    path = folder / weights.SINGLE
    save_file({name: value.astype(np.float16) for name, value in load_file(path).items()}, path)
    weights.read(folder, network.read(folder))
    assert weights.numbers(b"\x80\x3f\x00\xc0", "BF16").tolist() == [1.0, -2.0]


def split(folder):
    tensors = load_file(folder / weights.SINGLE)
    (folder / weights.SINGLE).unlink()
    names = sorted(tensors)
    halves = (names[:3], names[3:])
    for file, half in zip(NAMES, halves, strict=True):
        save_file({name: tensors[name] for name in half}, folder / file)
    places = {name: file for file, half in zip(NAMES, halves, strict=True) for name in half}
    (folder / weights.INDEX).write_text(json.dumps({"weight_map": places}))
    return places


def refusal(folder):
    with pytest.raises(Unfit) as refused:
        weights.read(folder, network.read(folder))
    assert refused.value.cure
    return refused.value.message


def test_several_files_with_an_index(folder):
    split(folder)
    assert len(weights.read(folder, network.read(folder))) == 11


def test_an_index_that_lies(folder):
    places = split(folder)
    index = folder / weights.INDEX
    (folder / NAMES[1]).rename(folder / "elsewhere")
    assert f"{NAMES[1]}: {weights.INDEX} names it" in refusal(folder)
    (folder / "elsewhere").rename(folder / NAMES[1])
    index.write_text(json.dumps({"weight_map": places | {"model.extra": NAMES[0]}}))
    assert "promises a tensor that it does not hold" in refusal(folder)
    index.write_text(json.dumps({"weight_map": places | {"model.norm.weight": "../model.safetensors"}}))
    assert "files that are not model*.safetensors" in refusal(folder)
    index.write_text(json.dumps({"weight_map": {}}))
    assert "no weight_map" in refusal(folder)


def test_pickles_are_refused_by_name(folder):
    (folder / weights.SINGLE).unlink()
    assert "neither it nor its index" in refusal(folder)
    (folder / "pytorch_model.bin").write_bytes(b"\x80\x04.")
    assert refusal(folder) == "pytorch_model.bin: weights are read from safetensors files only"


def test_an_adapter_is_no_base(folder):
    (folder / "adapter_config.json").write_text("{}")
    assert "this is an adapter" in refusal(folder)


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda data: data[:-8], "it should have"),
        (lambda data: data + b"\0", "it should have"),
        (lambda data: data[:6], "cut off"),
        (lambda data: (2**60).to_bytes(8, "little") + data[8:], "impossible length"),
        (lambda data: data[:8] + b"x" + data[9:], "it is not JSON"),
        (
            lambda data: data.replace(b'"data_offsets":[0,', b'"data_offsets":[4,', 1),
            "do not match its shape",
        ),
        (lambda data: data.replace(b'"F32"', b'"I32"', 1), "tensors of type I32"),
        (lambda data: data.replace(b'"shape"', b'"shaqe"', 1), "its header is not one of safetensors"),
    ],
)
def test_damaged_files(folder, damage, said):
    path = folder / weights.SINGLE
    path.write_bytes(damage(path.read_bytes()))
    assert said in refusal(folder)


def test_tensors_that_overlap(folder):
    path = folder / weights.SINGLE
    data = path.read_bytes()
    length = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + length])
    first, second = sorted(name for name in header if header[name].get("shape") == [16])[:2]
    header[first]["data_offsets"] = header[second]["data_offsets"]
    changed = json.dumps(header).encode()
    path.write_bytes(len(changed).to_bytes(8, "little") + changed + data[8 + length :])
    assert "overlap, or leave gaps" in refusal(folder)


def test_tensors_that_do_not_fit_the_config(folder, configure):
    configure(num_hidden_layers=2)
    assert "it promises the tensor model.layers.1." in refusal(folder)
    configure(num_hidden_layers=1, intermediate_size=64)
    assert "mlp.down_proj.weight has the shape [16, 32], by config.json it has [16, 64]" in refusal(folder)


def test_tensors_that_the_config_does_not_know(folder):
    path = folder / weights.SINGLE
    tensors = load_file(path)
    save_file(tensors | {"model.layers.0.self_attn.rotary_emb.inv_freq": np.ones(4, np.float32)}, path)
    weights.read(folder, network.read(folder))
    save_file(tensors | {"model.extra": np.ones(4, np.float32)}, path)
    assert "model.extra, of which config.json says nothing" in refusal(folder)


@pytest.mark.parametrize("place", [0, -1])
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_numbers_that_are_not_finite(folder, place, value):
    path = folder / weights.SINGLE
    tensors = load_file(path)
    tensors["model.norm.weight"][place] = value
    save_file(tensors, path)
    assert "model.norm.weight holds numbers that are not finite" in refusal(folder)


def test_links_to_files_are_followed(folder, tmp_path):
    linked = tmp_path / "linked"
    linked.mkdir()
    for path in folder.iterdir():
        (linked / path.name).symlink_to(path)
    assert (
        weights.read(linked, network.read(linked)).keys() == weights.read(folder, network.read(folder)).keys()
    )
    shutil.rmtree(folder)
    with pytest.raises(Unfit, match="it is not in the folder"):
        network.read(linked)
