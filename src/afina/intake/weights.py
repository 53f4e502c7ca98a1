"""Weights in safetensors files: their headers, whether they are whole, and whether they are this network's.

The format: eight bytes with the header's length, the header as JSON, then the tensors without gaps between them.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from math import prod
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from afina.data.strict_json import JsonObject, JsonValue
from afina.errors import clipped
from afina.intake import documents, shapes
from afina.intake.network import DOWNLOAD_AGAIN, Network
from afina.intake.unfit import Unfit

SINGLE = "model.safetensors"
INDEX = "model.safetensors.index.json"
PICKLES = ("*.bin", "*.pt", "*.pth", "*.ckpt")
NO_PICKLE = (
    "they are pickles, which can run code when they are read: convert them to safetensors on another machine"
)
FLOATS = {"F32": 4, "F16": 2, "BF16": 2}
MOST_HEADER_BYTES = 100_000_000
SAMPLED = 4096  # numbers of each tensor that are looked at
LEFT_OVER = re.compile(r"rotary_emb\.inv_freq$")  # old checkpoints hold it; it is computed instead


@dataclass(frozen=True)
class Tensor:
    """Where a tensor's bytes lie in its file."""

    file: Path
    dtype: str
    shape: tuple[int, ...]
    begin: int
    end: int


def read(folder: Path, network: Network) -> dict[str, Tensor]:
    """The tensors of a folder, whole and those of the network; raises `Unfit`. No more than samples are read."""
    tensors = indexed(folder) if (folder / INDEX).is_file() else alone(folder)
    check_fit(tensors, network)
    check_samples(tensors)
    return tensors


def alone(folder: Path) -> dict[str, Tensor]:
    """The tensors of the one file of a small model."""
    if (folder / "adapter_config.json").exists():
        raise Unfit(
            "adapter_config.json", "this is an adapter, not a base model", cure="name its base's folder"
        )
    if not (folder / SINGLE).is_file():
        pickles = sorted(path.name for pattern in PICKLES for path in folder.glob(pattern))
        if pickles:
            raise Unfit(pickles[0], "weights are read from safetensors files only", cure=NO_PICKLE)
        raise Unfit(SINGLE, "neither it nor its index is in the folder", cure=DOWNLOAD_AGAIN)
    return header(folder / SINGLE)


def indexed(folder: Path) -> dict[str, Tensor]:
    """The tensors of all files that the index names, each in the file that it says."""
    places = places_of(documents.read(folder / INDEX, cure=DOWNLOAD_AGAIN))
    found: dict[str, Tensor] = {}
    for name in sorted(set(places.values())):
        if not (folder / name).is_file():
            raise Unfit(name, f"{INDEX} names it, and it is not in the folder", cure=DOWNLOAD_AGAIN)
        found |= header(folder / name)
    for tensor, name in places.items():
        if tensor not in found or found[tensor].file.name != name:
            raise Unfit(name, f"{INDEX} promises a tensor that it does not hold", cure=DOWNLOAD_AGAIN)
    return found


def places_of(index: JsonObject) -> dict[str, str]:
    """The file of each tensor; names that could lead out of the folder are refused."""
    places = index.get("weight_map")
    if not isinstance(places, dict) or not places:
        raise Unfit(INDEX, "it has no weight_map", cure=DOWNLOAD_AGAIN)
    files = {tensor: file for tensor, file in places.items() if isinstance(file, str)}
    plain = re.compile(r"model[A-Za-z0-9._-]*\.safetensors")
    if len(files) < len(places) or not all(map(plain.fullmatch, files.values())):
        raise Unfit(INDEX, "it names files that are not model*.safetensors", cure=DOWNLOAD_AGAIN)
    return files


def header(path: Path) -> dict[str, Tensor]:
    """The tensors of one file, by its header; every byte belongs to one of them."""
    room = path.stat().st_size
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        if room < 8 or not 2 <= length <= min(room - 8, MOST_HEADER_BYTES):
            raise damaged(path, "its header is cut off or has an impossible length")
        entries = documents.parsed(path.name, file.read(length), cure=DOWNLOAD_AGAIN)
    start = 8 + length
    tensors = {name: tensor(path, entry, start) for name, entry in entries.items() if name != "__metadata__"}
    end = start
    for one in sorted(tensors.values(), key=lambda one: one.begin):
        if one.begin != end:
            raise damaged(path, "its tensors overlap, or leave gaps")
        end = one.end
    if end != room:
        raise damaged(path, f"it should have {end} bytes and has {room}")
    return tensors


def tensor(path: Path, entry: JsonValue, start: int) -> Tensor:
    """One entry of a header, with its places counted from the file's beginning."""
    if not isinstance(entry, dict):
        raise damaged(path, "its header is not one of safetensors")
    dtype, shape, places = entry.get("dtype"), whole(entry.get("shape")), whole(entry.get("data_offsets"))
    if not isinstance(dtype, str) or shape is None or places is None or len(places) != 2:
        raise damaged(path, "its header is not one of safetensors")
    if dtype not in FLOATS:
        message = f"it holds tensors of type {clipped(dtype)}; supported: {', '.join(FLOATS)}"
        raise Unfit(path.name, message, cure="choose the same model in bfloat16, not quantised")
    begin, end = places
    if end - begin != prod(shape) * FLOATS[dtype]:
        raise damaged(path, "a tensor's bytes do not match its shape")
    return Tensor(path, dtype, shape, start + begin, start + end)


def whole(value: JsonValue) -> tuple[int, ...] | None:
    """A list of whole numbers that are not negative; None for anything else."""
    if not isinstance(value, list):
        return None
    numbers = [n for n in value if isinstance(n, int) and not isinstance(n, bool) and n >= 0]
    return tuple(numbers) if len(numbers) == len(value) else None


def damaged(path: Path, message: str) -> Unfit:
    """A file that is not what its writer wrote."""
    return Unfit(path.name, f"it is damaged: {message}", cure=DOWNLOAD_AGAIN)


def check_fit(tensors: Mapping[str, Tensor], network: Network) -> None:
    """The tensors are those of `config.json`, with its shapes, and no others."""
    wanted = shapes.expected(network)
    for name, shape in wanted.items():
        if name not in tensors:
            raise Unfit(
                "config.json", f"it promises the tensor {name}, which is not there", cure=DOWNLOAD_AGAIN
            )
        if tensors[name].shape != shape:
            message = f"{name} has the shape {list(tensors[name].shape)}, by config.json it has {list(shape)}"
            raise Unfit(tensors[name].file.name, message, cure=DOWNLOAD_AGAIN)
    for name in sorted(tensors.keys() - wanted.keys() - {"lm_head.weight"}):
        if not LEFT_OVER.search(name):
            message = f"it holds the tensor {clipped(name)}, of which config.json says nothing"
            raise Unfit(tensors[name].file.name, message, cure=DOWNLOAD_AGAIN)


def check_samples(tensors: Mapping[str, Tensor]) -> None:
    """The first numbers of each tensor are finite: a download that went wrong shows here, or as noise later."""
    for name, one in tensors.items():
        if not all(np.isfinite(part).all() for part in samples(one)):
            raise damaged(one.file, f"{clipped(name)} holds numbers that are not finite")


def samples(tensor: Tensor) -> Iterator[NDArray[np.floating]]:
    """The first and the last numbers of a tensor."""
    each = FLOATS[tensor.dtype]
    many = min(SAMPLED * each, tensor.end - tensor.begin)
    with tensor.file.open("rb") as file:
        for place in (tensor.begin, tensor.end - many):
            file.seek(place)
            yield numbers(file.read(many), tensor.dtype)


def numbers(data: bytes, dtype: str) -> NDArray[np.floating]:
    """Bytes as numbers; a bfloat16 is the upper half of a float32."""
    if dtype == "BF16":
        return (np.frombuffer(data, "<u2").astype("<u4") << 16).view("<f4")
    return np.frombuffer(data, "<f4" if dtype == "F32" else "<f2")
