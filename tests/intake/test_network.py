import json

import pytest

from afina.engine.families import lacking
from afina.intake import network
from afina.intake.unfit import Unfit


def test_a_tiny_network(llama, qwen3):
    found = network.read(llama)
    assert (found.family, found.hidden, found.layers, found.context) == ("llama", 16, 1, 512)
    assert (found.heads, found.kv_heads, found.head_dim, found.tied) == (2, 1, 8, True)
    assert network.read(qwen3).family == "qwen3"


def test_no_config(folder):
    (folder / "config.json").unlink()
    with pytest.raises(Unfit, match=r"config\.json: it is not in the folder") as refused:
        network.read(folder)
    assert "name the folder that holds config.json" in refused.value.cure


@pytest.mark.parametrize("content", [b"{", b"\xff\xfe", b"[" * 100_000, b"[1]", b'"llama"'])
def test_a_config_that_is_no_json_object(folder, content):
    (folder / "config.json").write_bytes(content)
    with pytest.raises(Unfit, match=r"config\.json: it is not"):
        network.read(folder)


@pytest.mark.parametrize(
    ("family", "why"),
    [
        ("gemma3", "images"),
        ("gemma4", "images"),
        ("llava", "images"),
        ("qwen2_moe", "mixture of experts"),
        ("qwen3_5", "recurrent"),
        ("granitemoehybrid", "recurrent"),
        ("mistral3", "images"),
        ("something_new", "no test has shown it exact"),
    ],
)
def test_other_families_are_refused_by_name(configure, folder, family, why):
    configure(model_type=family)
    with pytest.raises(Unfit, match=why) as refused:
        network.read(folder)
    assert f"models of type {family} are not supported" in refused.value.message
    assert "Supported: " in refused.value.message and "llama" in refused.value.message
    assert refused.value.code == "model_not_available"


def test_the_engine_decides_which_families_are_exact(configure, folder, monkeypatch):
    monkeypatch.setattr(network, "FAMILIES", ("mistral", "mixtral"))
    with pytest.raises(Unfit, match="models of type llama are not supported"):
        network.read(folder)
    configure(model_type="mixtral")
    with pytest.raises(Unfit, match="its files are not known here yet"):
        network.read(folder)


def test_the_longest_start_that_fits_tells_what_is_lacking():
    assert lacking("granitemoehybrid") != lacking("granitemoe") != lacking("granite")


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        ({"auto_map": {"AutoModel": "theirs.Model"}}, "auto_map is set: it asks for code"),
        ({"trust_remote_code": True}, "trust_remote_code is set"),
        ({"quantization_config": {"bits": 4}}, "quantization_config is set: its weights are quantised"),
        ({"_attn_implementation_internal": "theirs"}, "_attn_implementation_internal is not known"),
        ({"custom_pipelines": {"x": 1}}, "custom_pipelines is not known"),
        ({"model_type": 7}, "model_type is missing"),
        ({"architectures": ["LlamaForSequenceClassification"]}, "does not answer chats"),
        ({"hidden_act": "gelu"}, "hidden_act"),
        ({"pretraining_tp": 2}, "pretraining_tp"),
        ({"use_bidirectional_attention": True}, "does not write from left to right"),
        ({"logits_scaling": 8.0}, "logits_scaling is not known"),
        ({"rope_parameters": {"rope_type": "longrope"}}, "type longrope are not supported"),
        ({"rope_parameters": None, "rope_scaling": {"type": "dynamic"}}, "type dynamic are not supported"),
        ({"rope_parameters": {"rope_type": ["yarn"]}}, "unknown type are not supported"),
        ({"rope_parameters": {"rope_type": "llama3", "factor": 8}}, "need the number low_freq_factor"),
        ({"rope_parameters": "yarn"}, "rope_parameters is not an object"),
        ({"hidden_size": 0}, "hidden_size is not a whole number from 1 to"),
        ({"num_hidden_layers": True}, "num_hidden_layers is not a whole number"),
        ({"vocab_size": 10**12}, "vocab_size is not a whole number from 1 to"),
        ({"max_position_embeddings": None}, "max_position_embeddings is not a whole number"),
        ({"num_attention_heads": 3, "num_key_value_heads": 2}, "no multiple of"),
        ({"tie_word_embeddings": "yes"}, "tie_word_embeddings is neither true nor false"),
    ],
)
def test_what_a_config_may_not_say(configure, folder, keys, said):
    configure(**keys)
    with pytest.raises(Unfit) as refused:
        network.read(folder)
    assert said in refused.value.message
    assert refused.value.file == "config.json"
    assert refused.value.cure


def test_what_published_configs_say_besides(configure, folder):
    inert = {"_name_or_path": "x", "torch_dtype": "bfloat16", "use_cache": False, "unsloth_fixed": True}
    configure(**inert, rope_parameters=None, rope_theta=500000.0, sliding_window=4096)
    (folder / "config.json").write_text(
        json.dumps(json.loads((folder / "config.json").read_text()) | {"rope_scaling": None})
    )
    assert network.read(folder).hidden == 16
