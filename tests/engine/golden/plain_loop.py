"""The plain loop the engine must agree with: transformers, PEFT and torch.optim.AdamW, one sequence at a time.

`python tests/engine/golden/plain_loop.py` writes the losses of 20 steps to `losses.json` beside it.
"""

import json
import tempfile
from pathlib import Path

import torch
from peft import LoraConfig, PeftModel, get_peft_model
from torch.nn import functional as F
from transformers import AutoModelForCausalLM, LlamaConfig

STEPS, ROWS, LENGTH, PROMPT = 20, 4, 24, 8
LINEARS = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
OPTIMIZER = {"lr": 5e-3, "betas": (0.9, 0.99), "eps": 1e-8, "weight_decay": 0.05}
MAX_NORM = 0.5
GOLDEN = Path(__file__).with_name("losses.json")


def make_base(folder: Path) -> None:
    """A seeded random Llama of 4 layers."""
    torch.manual_seed(20)
    config = LlamaConfig(
        vocab_size=120,
        hidden_size=64,
        intermediate_size=96,
        num_hidden_layers=4,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=128,
        initializer_range=0.1,
    )
    AutoModelForCausalLM.from_config(config).save_pretrained(folder)


def make_adapter(base: Path, folder: Path) -> None:
    """A fresh LoRA adapter as PEFT makes it."""
    torch.manual_seed(21)
    config = LoraConfig(r=8, lora_alpha=16, target_modules=LINEARS, task_type="CAUSAL_LM")
    get_peft_model(AutoModelForCausalLM.from_pretrained(base), config).save_pretrained(folder)


def rows(step: int) -> list[list[int]]:
    """The token ids of one step; the first PROMPT of each row are not supervised."""
    generator = torch.Generator().manual_seed(step % 5)
    return torch.randint(0, 120, (ROWS, LENGTH), generator=generator).tolist()


def train(base: Path, adapter: Path) -> list[float]:
    """Mean loss per supervised token of each step, before that step is applied."""
    network = PeftModel.from_pretrained(
        AutoModelForCausalLM.from_pretrained(base), adapter, is_trainable=True
    )
    parameters = [p for p in network.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(parameters, **OPTIMIZER)
    losses = []
    for step in range(STEPS):
        loss = torch.stack([_loss(network.eval(), ids) for ids in rows(step)]).sum() / (
            ROWS * (LENGTH - PROMPT)
        )
        loss.backward()
        torch.nn.utils.clip_grad_norm_(parameters, MAX_NORM)
        optimizer.step()
        optimizer.zero_grad()
        losses.append(float(loss.detach()))
    return losses


def _loss(network: torch.nn.Module, ids: list[int]) -> torch.Tensor:
    logits = network(input_ids=torch.tensor([ids])).logits[0]
    return F.cross_entropy(logits[PROMPT - 1 : -1], torch.tensor(ids[PROMPT:]), reduction="sum")


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as work:
        make_base(Path(work) / "base")
        make_adapter(Path(work) / "base", Path(work) / "adapter")
        GOLDEN.write_text(
            json.dumps(train(Path(work) / "base", Path(work) / "adapter"), indent=1) + "\n", "utf-8"
        )
