"""Adapter folders: plain PEFT reads ours, ours reads PEFT's, and everything else is refused by name."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from peft import LoraConfig, get_peft_model
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM

from afina.engine import adapters, model
from afina.engine.losses import cross_entropy
from afina.engine.types import AdamW, AdapterSpec, Sequence
from afina.errors import InvalidRequest
from tiny_families import CONFIGS

SPEC = AdapterSpec(rank=4, alpha=6.0, rslora=True, targets=("q_proj", "v_proj", "up_proj"))


@pytest.fixture
async def saved(engine, plain_batch, tmp_path) -> Path:
    """The folder, with state, of an adapter after three steps."""
    await engine.create_adapter("a", SPEC)
    for _ in range(3):
        await engine.forward_backward("a", plain_batch, cross_entropy)
        await engine.optim_step("a", AdamW(lr=0.02))
    await engine.save("a", tmp_path / "saved", state=True)
    return tmp_path / "saved"


async def test_plain_peft_computes_the_same(engine, saved, plain_batch, base, judge, one_by_one):
    ours = await engine.logprobs("a", list(plain_batch.sequences))
    plain = await engine.logprobs(None, list(plain_batch.sequences))
    theirs = one_by_one(judge(base("llama"), saved), plain_batch)
    for mine, untuned, expected in zip(ours, plain, theirs, strict=True):
        torch.testing.assert_close(torch.tensor(mine.values), expected.detach(), rtol=0, atol=1e-4)
        assert (torch.tensor(untuned.values) - expected).abs().max() > 0.01


async def test_an_adapter_written_by_peft_computes_the_same(
    engine, plain_batch, base, judge, one_by_one, tmp_path
):
    config = LoraConfig(
        r=3, lora_alpha=7, target_modules="all-linear", task_type="CAUSAL_LM", init_lora_weights=False
    )
    get_peft_model(AutoModelForCausalLM.from_pretrained(base("llama")), config).save_pretrained(tmp_path)
    await engine.create_adapter("a", None, start=tmp_path)
    ours = await engine.logprobs("a", list(plain_batch.sequences))
    theirs = one_by_one(judge(base("llama"), tmp_path), plain_batch)
    for mine, expected in zip(ours, theirs, strict=True):
        torch.testing.assert_close(torch.tensor(mine.values), expected.detach(), rtol=0, atol=1e-4)


async def test_without_state_the_optimizer_starts_anew(engine, saved, plain_batch, tmp_path):
    await engine.save("a", tmp_path / "weights")
    assert {file.name for file in (tmp_path / "weights").iterdir()} == {
        "adapter_config.json",
        "adapter_model.safetensors",
    }
    for name, start in (("weights", tmp_path / "weights"), ("state", saved)):
        await engine.create_adapter(name, SPEC, start=start)
    steps = []
    for name in ("weights", "state"):
        await engine.forward_backward(name, plain_batch, cross_entropy)
        steps.append((await engine.optim_step(name, AdamW(lr=0.01))).step)
    assert steps == [1, 4]


async def test_saving_again_replaces_the_files(engine, saved, plain_batch):
    before = (saved / "adapter_model.safetensors").read_bytes()
    await engine.forward_backward("a", plain_batch, cross_entropy)
    await engine.optim_step("a", AdamW(lr=0.01))
    await engine.save("a", saved, state=True)
    assert (saved / "adapter_model.safetensors").read_bytes() != before
    assert len(list(saved.iterdir())) == 4


async def test_a_dropped_adapter_is_not_needed_by_the_base(engine, plain_batch):
    before = await engine.logprobs(None, list(plain_batch.sequences))
    await engine.create_adapter("a", SPEC)
    await engine.drop("a")
    assert await engine.logprobs(None, list(plain_batch.sequences)) == before


def edit_config(**changes):
    def edit(folder: Path) -> None:
        path = folder / "adapter_config.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | changes))

    return edit


def edit_weights(change):
    def edit(folder: Path) -> None:
        path = folder / "adapter_model.safetensors"
        tensors = load_file(path)
        change(tensors)
        save_file(tensors, path)

    return edit


def truncate(name: str):
    return lambda folder: (folder / name).write_bytes((folder / name).read_bytes()[:-7])


FIRST = "base_model.model.model.layers.0.self_attn.q_proj.lora_A.weight"


@pytest.mark.parametrize(
    ("edit", "words"),
    [
        (lambda folder: (folder / "adapter_config.json").unlink(), "adapter_config.json is missing"),
        (lambda folder: (folder / "adapter_config.json").write_text("[1]"), "adapter_config.json"),
        (lambda folder: (folder / "adapter_config.json").write_text("{"), "adapter_config.json"),
        (edit_config(peft_type="IA3"), "peft_type"),
        (edit_config(use_dora=True), "use_dora"),
        (edit_config(bias="all"), "bias"),
        (edit_config(modules_to_save=["lm_head"]), "modules_to_save"),
        (edit_config(rank_pattern={"q_proj": 2}), "rank_pattern"),
        (edit_config(target_modules="all-linear"), "target_modules"),
        (edit_config(target_modules=["q_proj", "c_attn"]), "c_attn"),
        (edit_config(target_modules=["q_proj"]), "tensors too few or too many"),
        (edit_config(r=0), "rank"),
        (edit_config(r=100000), "rank"),
        (edit_config(r=float("inf")), "adapter_config.json"),
        (edit_config(r=5), "shape"),
        (edit_config(lora_alpha=float("nan")), "alpha"),
        (
            lambda folder: (folder / "adapter_model.safetensors").unlink(),
            "adapter_model.safetensors is missing",
        ),
        (truncate("adapter_model.safetensors"), "adapter_model.safetensors"),
        (edit_weights(lambda t: t.pop(FIRST)), "tensors too few or too many"),
        (edit_weights(lambda t: t.update(extra=torch.ones(1))), "tensors too few or too many"),
        (edit_weights(lambda t: t.update({FIRST: torch.ones(4, 31)})), "shape"),
        (edit_weights(lambda t: t[FIRST].fill_(float("inf"))), "not finite"),
        (truncate("optimizer.safetensors"), "optimizer.safetensors"),
        (lambda folder: (folder / "optimizer.safetensors").unlink(), "optimizer.safetensors"),
        (lambda folder: (folder / "state.json").write_text("{}"), "state.json"),
        (lambda folder: (folder / "state.json").write_text('{"steps": 0}'), "tensors too few or too many"),
    ],
)
async def test_folders_that_cannot_be_right_are_refused(engine, saved, edit, words):
    edit(saved)
    with pytest.raises(InvalidRequest, match=words):
        await engine.create_adapter("b", None, start=saved)
    assert engine.adapters == ("a",)
    assert await engine.logprobs("a", [Sequence((1, 2), (1.0, 1.0))])


@pytest.mark.parametrize(
    ("other", "words"),
    [
        (replace(SPEC, rank=5), "differ in their rank: 4, not 5"),
        (replace(SPEC, rslora=False), "differ in their scale: 3.0, not 1.5"),
        (replace(SPEC, targets=("q_proj",)), "differ in their targets"),
        (replace(SPEC, targets=None), "differ in their targets"),
    ],
)
async def test_a_spec_that_differs_from_the_folder_is_refused(engine, saved, other, words):
    with pytest.raises(InvalidRequest, match=words):
        await engine.create_adapter("b", other, start=saved)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"num_hidden_layers": 1}, "tensors too few or too many for this base model"),
        ({"hidden_size": 64}, r"has the shape \[4, 32\]; this base model and the rank need \[4, 64\]"),
        ({"intermediate_size": 56}, r"has the shape \[48, 4\]; this base model and the rank need \[56, 4\]"),
    ],
)
async def test_an_adapter_of_another_base_is_refused(saved, tmp_path, changes, words):
    config = CONFIGS["llama"]()
    for name, value in changes.items():
        setattr(config, name, value)
    AutoModelForCausalLM.from_config(config).save_pretrained(tmp_path / "other")
    with pytest.raises(InvalidRequest, match=words):
        adapters.load(model.load(tmp_path / "other"), None, saved)


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        (AdapterSpec(rank=0), "The rank is 0;"),
        (AdapterSpec(rank=33), "The rank is 33; for this base model, 32 wide, it must be between 1 and 32"),
        (AdapterSpec(rank=513), "The rank is 513;"),
        (AdapterSpec(alpha=0.0), "alpha is 0.0"),
        (AdapterSpec(targets=()), r"named \(none\); it has q_proj, k_proj,"),
        (AdapterSpec(targets=("q_proj", "x")), "named x; it has q_proj, k_proj,"),
        (AdapterSpec(targets=("qkv_proj",)), "named qkv_proj; it has q_proj, k_proj,"),
    ],
)
async def test_specs_that_cannot_be_right_are_refused(engine, spec, words):
    with pytest.raises(InvalidRequest, match=words):
        await engine.create_adapter("b", spec)


@pytest.mark.parametrize(
    ("name", "targets"),
    [
        ("llama", ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")),
        ("phi3", ("qkv_proj", "o_proj", "gate_up_proj", "down_proj")),
        ("gpt-oss", ("q_proj", "k_proj", "v_proj", "o_proj")),
    ],
)
def test_without_targets_all_usual_linears_of_the_base_are_changed(base, name, targets):
    adapter = adapters.create(model.load(base(name)), AdapterSpec(rank=2))
    assert adapter.spec.targets == targets
    assert {n.rpartition(".")[2] for n in adapter.share.pairs} == set(targets)
