"""Base models as the worker sees them: where their files are, how large they are, what their bytes hash to."""

import hashlib
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from afina.errors import NotFound, RunFailed
from afina.serving import bases as served
from afina.store import models
from afina.worker.context import Context
from afina.worker.plan import BaseFacts


@dataclass(frozen=True)
class Base:
    """One base model on this machine."""

    name: str
    folder: Path
    facts: BaseFacts
    sha256: str


def find(context: Context, name: str) -> Base:
    """The base that a job's `model` names; raises `RunFailed` where there is none any more."""
    try:
        with context.database.system(read=True) as scope:
            folder = served.folder(models.base(scope, name))
    except NotFound as error:
        raise RunFailed(error.message, code=error.code) from None
    return Base(name, folder, BaseFacts.read(folder), folder_sha256(folder))


@cache
def folder_sha256(folder: Path) -> str:
    """Over names and bytes of all files, read once a process: weights do not change under a running worker."""
    digest = hashlib.sha256()
    for path in sorted(folder.iterdir()):
        if path.suffix in (".json", ".jinja", ".safetensors"):
            with path.open("rb") as file:
                digest.update(path.name.encode() + b"\0" + hashlib.file_digest(file, "sha256").digest())
    return digest.hexdigest()
