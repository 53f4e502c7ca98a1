"""A model's folder from its configuration to its template: everything that has to be right before it is a base."""

from dataclasses import dataclass
from pathlib import Path

from afina.intake import licence, memory, network, shapes, speech, weights
from afina.intake.licence import Licence
from afina.intake.network import Network
from afina.intake.speech import Asked, Limits
from afina.schemas.models import Thinking
from afina.training.bases import folder_sha256


@dataclass(frozen=True)
class Candidate:
    """A model that is fit to be a base."""

    folder: Path
    network: Network
    parameters: int
    memory_bytes: int
    licence: Licence
    thinking: Thinking | None
    without: list[str]
    sha256: str


def examine(
    folder: Path, *, thinking: Asked, available: int | None, limits: Limits | None = None
) -> Candidate:
    """Look at a folder, cheapest things first; raises `Unfit` for the first that is in the way.

    `available` is the memory that has to be enough, in bytes; None does not ask.
    """
    found = network.read(folder)
    if available is not None:
        memory.check(found, available)
    weights.read(folder, found)
    said = speech.attempt(folder, found, thinking, limits)
    return Candidate(
        folder=folder,
        network=found,
        parameters=shapes.parameters(found),
        memory_bytes=memory.lora_bytes(found, "float32", tokens=memory.TOKENS),
        licence=licence.read(folder),
        thinking=said.thinking,
        without=said.without,
        sha256=folder_sha256(folder),
    )
