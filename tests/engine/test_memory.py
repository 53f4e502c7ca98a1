"""What one more adapter costs: sixteen bytes a parameter, and nothing of the base."""

import subprocess
import sys
from pathlib import Path

ADAPTERS = 8
BYTES = 16  # weight, gradient and two moments in float32
MEASURE = """
import gc, sys
from pathlib import Path
import torch
from transformers import AutoModelForCausalLM, LlamaConfig
from afina.engine import adapters, losses, model, train
from afina.engine.types import AdamW, AdapterSpec, Batch, Sequence

torch.set_num_threads(1)
folder = Path(sys.argv[1])
sizes = dict(hidden_size=256, intermediate_size=768, num_hidden_layers=4, num_attention_heads=4, vocab_size=97)
AutoModelForCausalLM.from_config(LlamaConfig(**sizes, num_key_value_heads=2)).save_pretrained(folder)
frozen = model.load(folder)
batch = Batch((Sequence(tuple(range(64)), (1.0,) * 64),))

def resident():
    gc.collect()
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096

def trained(seed):
    made = adapters.create(frozen, AdapterSpec(rank=128, seed=seed))
    for _ in range(3):
        for _ in train.forward_backward(frozen, made, batch, losses.cross_entropy):
            pass
        made.step(AdamW(lr=1e-3))
    for _ in train.forward_backward(frozen, made, batch, losses.cross_entropy):
        pass
    return made

held = [trained(0)]
one = resident()
held += [trained(seed) for seed in range(1, %d)]
print(resident() - one, sum(p.numel() for p in held[0].parameters))
"""


def test_eight_adapters_take_eight_times_their_own_numbers(tmp_path: Path):
    command = [sys.executable, "-c", MEASURE % ADAPTERS, str(tmp_path / "base")]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    grown, parameters = map(int, said.split())
    assert grown < ADAPTERS * BYTES * parameters * 1.1
    assert grown > (ADAPTERS - 1) * BYTES * parameters * 0.9  # Each has its own.
