"""The base model that a job names, for a worker that has to train on it."""

from afina.errors import NotFound, RunFailed
from afina.serving import bases as served
from afina.store import models
from afina.training.bases import Base
from afina.worker.context import Context


def find(context: Context, name: str) -> Base:
    """The base that a job's `model` names; raises `RunFailed` where there is none any more."""
    try:
        with context.database.system(read=True) as scope:
            folder = served.folder(models.base(scope, name))
    except NotFound as error:
        raise RunFailed(error.message, code=error.code) from None
    return Base.read(name, folder)
