"""Base models as planning and rendering see them: where their files are, how large they are, what they hash to."""

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

from afina.data.render import Renderer
from afina.data.strict_json import JsonValue
from afina.errors import Unavailable
from afina.training.plan import BaseFacts

# One read of a file, as the file system tells it from a later one: name, bytes, time of the last change.
Stamp = tuple[str, int, int]


@dataclass(frozen=True)
class Base:
    """One base model on this machine; `options` are what its chat template is called with."""

    name: str
    folder: Path
    facts: BaseFacts
    sha256: str
    options: Mapping[str, JsonValue] = field(default_factory=dict[str, JsonValue])

    @classmethod
    def read(
        cls, name: str, folder: Path, *, options: Mapping[str, JsonValue] | None = None, sha256: str = ""
    ) -> "Base":
        """The base whose files lie in `folder`: no weights are loaded; they are hashed, unless `sha256` is known.

        Raises `Unavailable` where the files are gone or cannot be read.
        """
        try:
            facts = BaseFacts.read(folder)
            return cls(name, folder, facts, sha256 or folder_sha256(folder), options or {})
        except (OSError, ValueError, KeyError):
            raise unreadable(name) from None

    @property
    def speech(self) -> str:
        """Whatever decides the tokens of a conversation on this base, as a text."""
        said = json.dumps(dict(self.options), sort_keys=True) if self.options else ""
        return self.sha256 + said

    def renderer(self) -> Renderer:
        """What turns conversations into this base's tokens."""
        return Renderer(self.folder, self.options)

    def max_length(self, asked: int | None) -> int:
        """Tokens of an example before its end is cut off: at most the context."""
        return min(asked or self.facts.context, self.facts.context)


def unreadable(name: str) -> Unavailable:
    """The files are not where they were, or not what they were; the path is the operator's to know."""
    message = f"The files of the base model {name} cannot be read; its operator has to bring them back."
    return Unavailable(message, code="model_unavailable", retry_after=None)


def folder_sha256(folder: Path) -> str:
    """Over names and bytes of all files that matter; read again only when one of them has changed."""
    return sha256_of(folder, tuple(stamps(folder)))


def stamps(folder: Path) -> Iterator[Stamp]:
    """What is hashed, in order."""
    for path in sorted(folder.iterdir()):
        if path.suffix in (".json", ".jinja", ".safetensors"):
            status = path.stat()
            yield path.name, status.st_size, status.st_mtime_ns


@cache
def sha256_of(folder: Path, files: tuple[Stamp, ...]) -> str:
    """The hash of these files of a folder."""
    digest = hashlib.sha256()
    for name, _, _ in files:
        with (folder / name).open("rb") as file:
            digest.update(name.encode() + b"\0" + hashlib.file_digest(file, "sha256").digest())
    return digest.hexdigest()
