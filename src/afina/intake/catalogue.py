"""The recommended bases of `catalogue.toml`, each judged by what this build can do."""

import tomllib
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import NotRequired, TypedDict

from afina.data.strict_json import JsonObject
from afina.intake import memory, network, shapes
from afina.intake.network import Network

GPU_TOKENS = 2048
FILE = Path(__file__).with_name("catalogue.toml")


class Entry(TypedDict):
    """One table of the file."""

    hub_id: str
    family: str
    licence: str
    languages: str
    layers: str
    thinking: NotRequired[str]
    context: NotRequired[int]
    parameters: NotRequired[int]
    config: NotRequired[JsonObject]


@dataclass(frozen=True)
class Recommended:
    """One entry; what we could not find out, or do not know how to compute, is None."""

    hub_id: str
    licence: str
    languages: str
    layers: str
    thinking: str | None
    context: int | None
    parameters: int | None
    network: Network | None
    obstacle: str | None

    def here(self) -> int | None:
        """Memory for tuning with this build, on a CPU in float32, by our estimate."""
        return memory.lora_bytes(self.network, "float32", tokens=memory.TOKENS) if self.network else None

    def on_gpu(self, weights: memory.Weights) -> int | None:
        """Memory for tuning on a GPU, each layer computed again on the way back, by our estimate."""
        sizes = self.network
        return memory.lora_bytes(sizes, weights, tokens=GPU_TOKENS, checkpointed=True) if sizes else None


@dataclass(frozen=True)
class Catalogue:
    """The list, and the day on which its facts were gathered."""

    as_of: date
    bases: list[Recommended]


def read() -> Catalogue:
    """The catalogue that came with this build."""
    found = tomllib.loads(FILE.read_text(encoding="utf-8"))
    return Catalogue(found["as_of"], [recommended(entry) for entry in found["base"]])


def recommended(entry: Entry) -> Recommended:
    """One entry, with what follows from its sizes."""
    config = entry.get("config")
    sizes = network.of({"model_type": entry["family"], **config}) if config else None
    return Recommended(
        hub_id=entry["hub_id"],
        licence=entry["licence"],
        languages=entry["languages"],
        thinking=entry.get("thinking"),
        layers=entry["layers"],
        context=entry.get("context"),
        parameters=shapes.parameters(sizes) if sizes else entry.get("parameters"),
        network=sizes,
        obstacle=network.obstacle(entry["family"]),
    )
