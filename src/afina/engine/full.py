"""All weights of a base model as what is trained, stored as the hub stores models.

Such an adapter adds nothing to a pass: the model itself is it, and nobody else's any more. A folder holds
`config.json` and safetensors, and with the training state also `optimizer.safetensors` and `state.json`.
"""

import json
import os
from pathlib import Path

import torch
from safetensors.torch import save_file

from afina.blobs import sync_folder
from afina.engine import model as models
from afina.engine.adapters import OPTIMIZER, STATE, Adapter, fill, kept, restore
from afina.engine.lora import Share
from afina.engine.model import Model
from afina.engine.types import FullSpec
from afina.errors import InvalidRequest

WEIGHTS = "model.safetensors"


def create(model: Model, spec: FullSpec, start: Path | None) -> Adapter:
    """The model's weights as they are, or as a folder holds them with the training state that is there.

    Raises InvalidRequest for a folder of another model, or where steps would be lost in the weights' rounding.
    """
    network = model.network
    if network.dtype != torch.float32:
        name = str(network.dtype).removeprefix("torch.")
        raise InvalidRequest(f"All weights are trained in float32, and this model is held in {name}.")
    generator = torch.Generator().manual_seed(spec.seed)
    adapter = Adapter(spec, dict(network.named_parameters()), Share({}, 1.0), generator)
    if start is not None:
        restore(adapter, start)
        found = models.load(start, device=str(model.device)).network
        fill(adapter.tensors, dict(found.named_parameters()), file=WEIGHTS)
    network.requires_grad_(True)
    return adapter


def write(model: Model, adapter: Adapter, folder: Path, *, state: bool) -> None:
    """Write the files of a folder, from the weights themselves: a copy of them would not fit beside them."""
    folder.mkdir(parents=True, exist_ok=True)
    model.network.save_pretrained(folder)
    if state:
        save_file(kept(adapter), folder / OPTIMIZER)
        (folder / STATE).write_text(json.dumps({"steps": adapter.steps}))


def sync(folder: Path) -> None:
    """Make what was written durable."""
    for path in folder.iterdir():
        with path.open("rb") as file:
            os.fsync(file.fileno())
    sync_folder(folder)
