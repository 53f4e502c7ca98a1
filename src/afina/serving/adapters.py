"""The files of tuned models, verified against their manifest before any host may read them."""

import hashlib
import threading
from pathlib import Path

from afina.blobs import Blobs
from afina.errors import CorruptBlob, Unavailable
from afina.schemas.completions import LoadAdapter
from afina.schemas.models import Manifest, Model


class Adapters:
    """Which models' files were found whole; each is read through once in a process's life."""

    def __init__(self, blobs: Blobs):
        self.blobs = blobs
        self.whole: set[str] = set()
        self.locks: dict[str, threading.Lock] = {}

    def verified(self, model: Model) -> LoadAdapter:
        """The order to load a model, once its files are known to be those that were published."""
        return LoadAdapter(lora_name=model.key, lora_path=str(self.folder(model)))

    def folder(self, model: Model) -> Path:
        """Where the files of a model lie, once they are known to be those that were published."""
        with self.locks.setdefault(model.key, threading.Lock()):  # nobody waits for another model's files
            if model.key not in self.whole:
                self.verify(model)
                self.whole.add(model.key)
        return self.blobs.path(model.folder).absolute()

    def verify(self, model: Model) -> None:
        """Refuse a model whose manifest or files are not what its row and its manifest say."""
        try:
            text = b"".join(self.blobs.read(f"{model.folder}/manifest.json"))
            if hashlib.sha256(text).hexdigest() != model.manifest_sha256:
                raise CorruptBlob("the manifest is not the one that was published")
            manifest = Manifest.model_validate_json(text)
            for name, sha256 in manifest.files.items():
                self.blobs.verify(f"{model.folder}/{name}", sha256=sha256)
        except CorruptBlob as error:
            message = f"The files of the model {model.id} are damaged; restore them from a backup or train it again."
            raise Unavailable(message, code="model_unavailable", retry_after=None) from error
