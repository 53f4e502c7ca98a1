"""What sets a family apart is felt by the rows that the parity tests compare: ignoring it would fail them."""

import json
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers.models.auto.configuration_auto import CONFIG_MAPPING

from afina.engine import model, train
from afina.engine.families import FAMILIES, LACKING, lacking
from afina.errors import InvalidRequest
from tiny_families import CONFIGS

# Far above what the parity tests let pass.
FELT = 0.01
EVERYWHERE = {"sliding_window": 300}
ONE_ROPE = {"full_attention": {"rope_type": "default", "rope_theta": 100.0}}
PLAIN = {"rope_theta": 10000.0, "rope_type": "default"}
IGNORED = {
    "a window": ("mistral-sliding", EVERYWHERE),
    "a window, experts": ("mixtral", EVERYWHERE),
    "a window of one layer": ("qwen3-sliding", EVERYWHERE),
    "a window of one layer, experts": ("qwen3-moe", EVERYWHERE),
    "a window beside sinks": ("gpt-oss", EVERYWHERE),
    "a window, fused": ("phi3", EVERYWHERE),
    "a window under caps": ("gemma2", EVERYWHERE),
    "a local window": ("gemma3", EVERYWHERE),
    "a local window, shared keys": ("gemma4-small", EVERYWHERE),
    "a local window, experts beside": ("gemma4-large", EVERYWHERE),
    "partial rotation": ("phi3", {"rope_parameters": PLAIN | {"partial_rotary_factor": 1.0}}),
    "a second rotation": ("gemma3", {"rope_parameters": ONE_ROPE}),
    "proportional rotation": ("gemma4-large", {"rope_parameters": ONE_ROPE}),
    "queries that grow": ("ministral3", {"rope_parameters": {"llama_4_scaling_beta": 0.0}}),
    "a cap on attention": ("gemma2", {"attn_logit_softcapping": None}),
    "a cap on logits": ("gemma2", {"final_logit_softcapping": None}),
    "a cap on logits, windowed": ("gemma3", {"final_logit_softcapping": None}),
    "a cap on logits, shared keys": ("gemma4-small", {"final_logit_softcapping": None}),
    "scaled embeddings": ("granite", {"embedding_multiplier": 1.0}),
    "scaled residuals": ("granite", {"residual_multiplier": 1.0}),
    "scaled attention": ("granite", {"attention_multiplier": 1.0}),
    "scaled logits": ("granite", {"logits_scaling": 1.0}),
}


def scores(folder: Path, batch) -> torch.Tensor:
    """The base model's log-probabilities of everything supervised."""
    work = train.logprobs(model.load(folder), None, batch)
    while True:
        try:
            next(work)
        except StopIteration as end:
            return torch.tensor([value for answer in end.value for value in answer.values])


def edit(folder: Path, changes: dict[str, object]) -> None:
    path = folder / "config.json"
    config = json.loads(path.read_text())
    for key, value in changes.items():
        config[key] = config[key] | value if isinstance(value, dict) else value
    path.write_text(json.dumps(config))


@pytest.mark.parametrize("feature", IGNORED)
def test_a_feature_that_is_ignored_is_felt(feature, base, shared_batch, tmp_path):
    name, changes = IGNORED[feature]
    without = shutil.copytree(base(name), tmp_path / "without")
    edit(without, changes)
    assert (scores(without, shared_batch) - scores(base(name), shared_batch)).abs().max() > FELT


def test_sinks_that_are_ignored_are_felt(base, shared_batch, tmp_path):
    without = shutil.copytree(base("gpt-oss"), tmp_path / "without")
    tensors = load_file(without / "model.safetensors")
    for name in [name for name in tensors if name.endswith("sinks")]:
        tensors[name] = torch.full_like(tensors[name], -1e4)
    save_file(tensors, without / "model.safetensors", {"format": "pt"})
    assert (scores(without, shared_batch) - scores(base("gpt-oss"), shared_batch)).abs().max() > FELT


def test_every_family_is_compared_and_every_name_is_transformers_own():
    assert {config().model_type for config in CONFIGS.values()} == set(FAMILIES)
    assert set(FAMILIES) <= set(CONFIG_MAPPING)
    assert not set(FAMILIES) & {family for family in CONFIG_MAPPING if family in LACKING}


@pytest.mark.parametrize(
    ("family", "why"),
    [
        ("qwen3_5", "recurrent"),
        ("qwen3_next", "recurrent"),
        ("lfm2", "recurrent"),
        ("granitemoehybrid", "recurrent"),
        ("falcon_h1", "recurrent"),
        ("nemotron_h", "recurrent"),
        ("jamba", "recurrent"),
        ("gemma3", "images"),
        ("gemma4", "images"),
        ("mistral3", "images"),
        ("granitemoe", "mixture of experts"),
    ],
)
def test_others_are_refused_by_name_with_the_reason(family, why, base, tmp_path):
    assert why in lacking(family)
    folder = shutil.copytree(base("llama"), tmp_path / family)
    CONFIG_MAPPING[family]().save_pretrained(folder)
    with pytest.raises(InvalidRequest, match=f"{family} are not supported: .*{why}"):
        model.load(folder)


def test_a_rotation_that_looks_at_neighbours_in_one_type_of_layer_is_refused(base, tmp_path):
    folder = shutil.copytree(base("gemma3"), tmp_path / "gemma3")
    edit(
        folder,
        {"rope_parameters": {"full_attention": {"rope_type": "dynamic", "factor": 2.0, "rope_theta": 1e4}}},
    )
    with pytest.raises(InvalidRequest, match="type dynamic"):
        model.load(folder)
