"""The base model that a job names, for a worker that has to train on it."""

from pathlib import Path

from afina.errors import NotFound, RunFailed, Unavailable
from afina.schemas.embeddings import ENCODER
from afina.schemas.models import Model
from afina.schemas.moderations import MODERATOR
from afina.serving import bases as served
from afina.store import models
from afina.training.bases import Base
from afina.worker.context import Context


def find(context: Context, name: str) -> Base:
    """The base that a job's `model` names; raises `RunFailed` where it is gone, or is not what was registered."""
    model = row(context, name)
    tuned = model.kind != "base"  # then the manifest, which has been verified, stands for its files
    try:
        place = served.folder(model, context.adapters)
        known = model.manifest_sha256 if tuned else ""
        base = Base.read(name, place, options=model.template_options, sha256=known)
    except Unavailable as error:
        raise RunFailed(error.message, code="base_model_changed") from None
    if model.manifest_sha256 not in ("", base.sha256):
        text = f"The files of the base model {name} are not those that were registered. "
        cure = "Its operator can bring them back, or register the new ones under another name."
        raise RunFailed(text + cure, code="base_model_changed")
    return base


def folder(context: Context, name: str) -> Path:
    """Where a base's files lie, for a host that reads them itself; raises `RunFailed` where there is no such base."""
    own = {ENCODER: context.settings.encoder, MODERATOR: context.settings.moderator}
    if own.get(name):
        return Path(own[name])
    return served.folder(row(context, name), context.adapters)


def row(context: Context, name: str) -> Model:
    """The base's row."""
    try:
        with context.database.system(read=True) as scope:
            return models.base(scope, name)
    except NotFound as error:
        raise RunFailed(error.message, code=error.code) from None
