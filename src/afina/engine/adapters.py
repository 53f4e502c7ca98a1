"""What a run trains and all that belongs to it; and low-rank adapters, stored as PEFT stores them.

A folder holds `adapter_config.json` and `adapter_model.safetensors`, and with the training state also
`optimizer.safetensors` and `state.json`. Nothing is pickled.
"""

import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from itertools import count
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn

from afina.blobs import sync_folder
from afina.engine.lora import Pair, Share, new_pairs
from afina.engine.model import Model
from afina.engine.types import LINEARS, AdamW, AdapterSpec, FullSpec, StepReport
from afina.errors import InvalidRequest, clipped

CONFIG = "adapter_config.json"
WEIGHTS = "adapter_model.safetensors"
OPTIMIZER = "optimizer.safetensors"
STATE = "state.json"
MOMENTS = ("exp_avg", "exp_avg_sq")
MAX_RANK = 512

# Settings of PEFT that change what an adapter computes, and the only values that ours can compute.
_PLAIN: dict[str, tuple[object, ...]] = {
    "peft_type": ("LORA",),
    "bias": ("none",),
    "use_dora": (False, None),
    "fan_in_fan_out": (False, None),
    "lora_bias": (False, None),
    "modules_to_save": (None, []),
    "layers_to_transform": (None, []),
    "rank_pattern": (None, {}),
    "alpha_pattern": (None, {}),
    "target_parameters": (None, []),
    "trainable_token_indices": (None, []),
    "layer_replication": (None, []),
    "alora_invocation_tokens": (None, []),
    "exclude_modules": (None, []),
}


@dataclass(slots=True)
class Adapter:
    """One adapter's own world; nothing in it is shared with another. No other adapter ever has its `serial`.

    `tensors` are what is trained, by the names under which it is stored; `share` is what that adds to a pass.
    """

    spec: AdapterSpec | FullSpec
    tensors: dict[str, nn.Parameter]
    share: Share
    generator: torch.Generator
    optimizer: torch.optim.AdamW = field(init=False)
    steps: int = 0
    finite: bool = True
    serial: int = field(default_factory=count().__next__)

    def __post_init__(self) -> None:
        self.optimizer = torch.optim.AdamW(self.parameters, fused=True)

    @property
    def parameters(self) -> list[nn.Parameter]:
        """All that is trained, in the order of the model's parts."""
        return list(self.tensors.values())

    def named(self) -> Iterator[tuple[str, nn.Parameter]]:
        """Parameters under the names of their files."""
        yield from self.tensors.items()

    def discard_gradients(self) -> None:
        """Forget what was accumulated, so that a pass that failed leaves nothing behind."""
        self.optimizer.zero_grad(set_to_none=True)
        self.finite = True

    def step(self, params: AdamW) -> StepReport:
        """Clip and apply the gathered gradients; what is not finite is thrown away and reported."""
        gradients = [p.grad for p in self.parameters if p.grad is not None]
        if not gradients:
            raise InvalidRequest("There are no gradients: call forward_backward before optim_step.")
        norm = torch.nn.utils.get_total_norm(gradients, foreach=False)
        finite = self.finite and bool(norm.isfinite())
        if finite:
            self._apply(params, norm)
        self.discard_gradients()
        return StepReport(self.steps, float(norm), finite)

    def _apply(self, params: AdamW, norm: Tensor) -> None:
        if params.max_norm is not None:
            torch.nn.utils.clip_grads_with_norm_(self.parameters, params.max_norm, norm, foreach=False)
        settings = {
            "lr": params.lr,
            "betas": params.betas,
            "eps": params.eps,
            "weight_decay": params.weight_decay,
        }
        self.optimizer.param_groups[0].update(settings)
        self.optimizer.step()
        self.steps += 1


def create(model: Model, spec: AdapterSpec) -> Adapter:
    """A new adapter on the model's device; its values come from the spec's seed alone."""
    targets = _targets(model, spec)
    _check_spec(model, spec)
    shapes = {name: s for name, s in model.shapes.items() if name.rpartition(".")[2] in targets}
    generator = torch.Generator().manual_seed(spec.seed)
    pairs = new_pairs(shapes, spec.rank, generator)
    moved = {name: Pair(_parameter(pair.a, model), _parameter(pair.b, model)) for name, pair in pairs.items()}
    return Adapter(replace(spec, targets=targets), _named(moved), Share(moved, spec.scale), generator)


def _named(pairs: dict[str, Pair]) -> dict[str, nn.Parameter]:
    """Factors under PEFT's names."""
    tensors: dict[str, nn.Parameter] = {}
    for name, pair in pairs.items():
        tensors[f"base_model.model.model.layers.{name}.lora_A.weight"] = pair.a
        tensors[f"base_model.model.model.layers.{name}.lora_B.weight"] = pair.b
    return tensors


def _targets(model: Model, spec: AdapterSpec) -> tuple[str, ...]:
    """The linears that the spec asks for, each of which the base model has."""
    found = {name.rpartition(".")[2] for name in model.shapes}
    usual = tuple(name for name in LINEARS if name in found)
    targets = usual if spec.targets is None else spec.targets
    missing = ", ".join(sorted(clipped(name) for name in set(targets) - found)) or "(none)"
    if not targets or not found.issuperset(targets):
        raise InvalidRequest(
            f"The base model has no linear layers named {missing}; it has {', '.join(usual)}.",
            param="afina.adapter.targets",
            code="invalid_value",
        )
    return targets


def _parameter(values: Tensor, model: Model) -> nn.Parameter:
    return nn.Parameter(values.detach().to(model.device))


def _check_spec(model: Model, spec: AdapterSpec) -> None:
    most = min(MAX_RANK, model.hidden_size)
    if not 1 <= spec.rank <= most:
        raise InvalidRequest(
            f"The rank is {spec.rank}; for this base model, {model.hidden_size} wide, it must be "
            f"between 1 and {most}.",
            param="afina.adapter.rank",
            code="invalid_value",
        )
    if not 0 < spec.alpha < float("inf"):
        raise InvalidRequest(
            f"alpha is {spec.alpha}; it must be a finite number above 0.", param="afina.adapter.alpha"
        )


def load(model: Model, spec: AdapterSpec | None, start: Path) -> Adapter:
    """An adapter from a PEFT folder, with its training state where the folder holds one.

    Raises InvalidRequest for an adapter that does not fit the base model or the spec, or that needs what is not
    supported; a spec of None takes what the folder says.
    """
    found = read_spec(start)
    if spec is not None:
        _check_same(found, replace(spec, targets=_targets(model, spec)))
    adapter = create(model, spec or found)
    fill(adapter.tensors, _read(start / WEIGHTS), file=WEIGHTS)
    restore(adapter, start)
    return adapter


def _check_same(found: AdapterSpec, asked: AdapterSpec) -> None:
    for name, there, wanted in (
        ("rank", found.rank, asked.rank),
        ("scale", found.scale, asked.scale),
        ("targets", *(sorted(map(clipped, spec.targets or ())) for spec in (found, asked))),
    ):
        if there != wanted:
            raise InvalidRequest(
                f"The folder's adapter and the one asked for differ in their {name}: {there}, not {wanted}.",
                param="afina.adapter",
            )


def read_spec(folder: Path) -> AdapterSpec:
    """The shape written in a folder's adapter_config.json."""
    try:
        config = json.loads((folder / CONFIG).read_text("utf-8"))
        for key, allowed in _PLAIN.items():
            if config.get(key, allowed[0]) not in allowed:
                raise InvalidRequest(f"{CONFIG}: this value of '{key}' is not supported.", param=key)
        targets = config["target_modules"]
        if not isinstance(targets, list):
            raise InvalidRequest(f"{CONFIG}: 'target_modules' must be a list.", param="target_modules")
        # PEFT may list every module by its full name; which of them there are is checked against the tensors.
        names = tuple(dict.fromkeys(target.rpartition(".")[2] for target in targets))
        rslora = bool(config.get("use_rslora"))
        return AdapterSpec(int(config["r"]), float(config["lora_alpha"]), rslora, names)
    except (OSError, ValueError, KeyError, TypeError, AttributeError, OverflowError) as error:
        raise InvalidRequest(f"{CONFIG} is missing or is not the configuration of a LoRA adapter.") from error


def _read(path: Path) -> dict[str, Tensor]:
    try:
        with safe_open(path, framework="pt") as file:
            return {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - it is no dict
    except (OSError, SafetensorError) as error:
        raise InvalidRequest(f"{path.name} is missing or is not a whole safetensors file.") from error


def fill(into: Mapping[str, Tensor], values: Mapping[str, Tensor], *, file: str) -> None:
    """Copy by name, or nothing: both sides must have the same names and shapes, and every number must be finite."""
    if into.keys() != values.keys():
        raise InvalidRequest(
            f"{file} has {len(into.keys() ^ values.keys())} tensors too few or too many for this base model: "
            "was it made for another?"
        )
    for name, tensor in into.items():
        if tensor.shape != values[name].shape:
            raise InvalidRequest(
                f"{file}: {name} has the shape {list(values[name].shape)}; this base model and the rank "
                f"need {list(tensor.shape)}. Was it made for another?"
            )
        if not values[name].isfinite().all():
            raise InvalidRequest(f"{file}: {name} holds numbers that are not finite.")
    with torch.no_grad():
        for name, tensor in into.items():
            tensor.copy_(values[name])


def restore(adapter: Adapter, folder: Path) -> None:
    """The training state that a folder may hold: optimizer, step and generator."""
    if not (folder / STATE).is_file():
        return
    values = _read(folder / OPTIMIZER)
    try:
        adapter.steps = int(json.loads((folder / STATE).read_text("utf-8"))["steps"])
        adapter.generator.set_state(values.pop("generator"))
    except (OSError, ValueError, KeyError, TypeError, RuntimeError) as error:
        raise InvalidRequest(f"{STATE} or {OPTIMIZER} is not the state of a training.") from error
    moments = _blank_moments(adapter) if adapter.steps else {}
    fill(moments, values, file=OPTIMIZER)
    for name, parameter in adapter.named() if adapter.steps else ():
        first, second = moments[f"{name}.exp_avg"], moments[f"{name}.exp_avg_sq"]
        step = torch.tensor(float(adapter.steps), device=parameter.device)
        adapter.optimizer.state[parameter] = {"step": step, "exp_avg": first, "exp_avg_sq": second}


def _blank_moments(adapter: Adapter) -> dict[str, Tensor]:
    return {f"{name}.{kind}": torch.zeros_like(p.detach()) for name, p in adapter.named() for kind in MOMENTS}


def snapshot(adapter: Adapter, *, state: bool) -> dict[str, bytes]:
    """The files of a low-rank adapter's folder as bytes; gradients not yet applied are not part of it."""
    assert isinstance(adapter.spec, AdapterSpec)
    files = {
        WEIGHTS: save({name: p.detach().cpu().contiguous() for name, p in adapter.named()}, {"format": "pt"})
    }
    if state:
        files |= {OPTIMIZER: save(kept(adapter)), STATE: json.dumps({"steps": adapter.steps}).encode()}
    return files | {CONFIG: json.dumps(_config(adapter.spec), indent=2).encode()}


def kept(adapter: Adapter) -> dict[str, Tensor]:
    """What `restore` needs beside the step: the generator's state and the optimizer's moments."""
    held = adapter.optimizer.state
    moments = {
        f"{name}.{kind}": held[p][kind].cpu() for name, p in adapter.named() if p in held for kind in MOMENTS
    }
    return {"generator": adapter.generator.get_state(), **moments}


def _config(spec: AdapterSpec) -> dict[str, object]:
    """No base model's name: a loader must not fetch something because a folder says so."""
    return {
        "peft_type": "LORA",
        "task_type": "CAUSAL_LM",
        "base_model_name_or_path": None,
        "r": spec.rank,
        "lora_alpha": spec.alpha,
        "lora_dropout": 0.0,
        "use_rslora": spec.rslora,
        "target_modules": list(spec.targets or ()),
        "bias": "none",
        "inference_mode": True,
    }


def write(folder: Path, files: dict[str, bytes]) -> None:
    """Write each file whole or not at all, durably; the configuration comes last."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        part = folder / f"{name}.part"
        with part.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        part.replace(folder / name)
    sync_folder(folder)
