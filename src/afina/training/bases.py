"""Base models as planning and rendering see them: where their files are, how large they are, what they hash to."""

import hashlib
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from afina.training.plan import BaseFacts


@dataclass(frozen=True)
class Base:
    """One base model on this machine."""

    name: str
    folder: Path
    facts: BaseFacts
    sha256: str

    @classmethod
    def read(cls, name: str, folder: Path) -> "Base":
        """The base whose files lie in `folder`; no weights are loaded, but the first time all are hashed."""
        return cls(name, folder, BaseFacts.read(folder), folder_sha256(folder))

    def max_length(self, asked: int | None) -> int:
        """Tokens of an example before its end is cut off: at most the context."""
        return min(asked or self.facts.context, self.facts.context)


@cache
def folder_sha256(folder: Path) -> str:
    """Over names and bytes of all files, read once a process: weights do not change under a running server."""
    digest = hashlib.sha256()
    for path in sorted(folder.iterdir()):
        if path.suffix in (".json", ".jinja", ".safetensors"):
            with path.open("rb") as file:
                digest.update(path.name.encode() + b"\0" + hashlib.file_digest(file, "sha256").digest())
    return digest.hexdigest()
