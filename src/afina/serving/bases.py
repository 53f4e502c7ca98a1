"""Base models as serving sees them: a folder with a tokenizer, a template and a length of context."""

import threading
from dataclasses import dataclass
from pathlib import Path

import afina.base
from afina.blobs import Blobs
from afina.data.render import Renderer
from afina.data.templates import read_config
from afina.errors import Unavailable
from afina.schemas.models import Model
from afina.serving.adapters import Adapters

BUNDLED = "bundled"


@dataclass(frozen=True)
class Base:
    """What is needed to turn messages into ids."""

    name: str
    renderer: Renderer
    context: int


class Bases:
    """The bases that were asked for, each read once."""

    def __init__(self, adapters: Adapters) -> None:
        self.adapters = adapters
        self.read: dict[Model, Base] = {}
        self.lock = threading.Lock()

    def get(self, model: Model) -> Base:
        """The base of a row; reading its tokenizer takes a moment the first time."""
        if found := self.read.get(model):  # by the whole row: an operator may have registered it again
            return found
        place = folder(model, self.adapters)  # before the lock: all weights of a model may have to be hashed
        with self.lock:
            if model not in self.read:
                self.read[model] = read_base(model, place)
            return self.read[model]


def folder(model: Model, adapters: Adapters) -> Path:
    """Where a base's files lie on this machine; those of a model that was tuned as a whole are verified first."""
    return place(model, adapters.blobs) if model.kind == "base" else adapters.folder(model)


def place(model: Model, blobs: Blobs) -> Path:
    """Where a base's files should lie."""
    if model.kind != "base":
        return blobs.path(model.folder).absolute()
    return afina.base.path() if model.source == BUNDLED else Path(model.source)


def read_base(model: Model, place: Path) -> Base:
    """The base's renderer and its context length, as its configuration declares it."""
    try:
        context = read_config(place / "config.json").get("max_position_embeddings")
        if isinstance(context, int):
            return Base(model.id, Renderer(place, model.template_options), context)
    except (OSError, ValueError):
        pass  # gone, or not what they were
    message = f"The files of the base model {model.id} cannot be read; its operator has to bring them back."
    raise Unavailable(message, code="model_unavailable", retry_after=None)
