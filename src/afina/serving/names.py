"""What a model's name stands for, to one project."""

from dataclasses import dataclass

from afina.errors import NotFound, clipped
from afina.schemas.models import Model
from afina.serving.bases import BUNDLED
from afina.store import models
from afina.store.scope import Scope


@dataclass(frozen=True)
class Target:
    """`tuned` is None where the base itself answers; `warning` is for whoever asked by another's name."""

    asked: str
    base: Model
    tuned: Model | None
    warning: str | None = None

    @property
    def resolved(self) -> Model:
        """The row that the name led to."""
        return self.tuned or self.base


def resolve(scope: Scope, name: str, *, production: bool) -> Target:
    """The base and adapter behind a name; raises NotFound `model_not_found`."""
    return target_of(scope, models.resolve(scope, name), asked=name, production=production)


def target_of(scope: Scope, model: Model, *, asked: str, production: bool) -> Target:
    """A model with its base.

    The bundled base never stands in silently for another: reached by an alias it warns, and in production it is
    not there at all.
    """
    tuned = None if model.whole else model
    base = models.base(scope, model.base) if tuned else model
    warning = None
    if model.source == BUNDLED and model.id != asked:
        if production:
            raise not_registered(asked, model)
        warning = f"{asked} stands for {model.id}, the bundled demonstration model"
    return Target(asked, base, tuned, warning)


def not_registered(name: str, bundled: Model) -> NotFound:
    """In production the demonstration model answers to its own name alone."""
    message = (
        f"The model `{clipped(name)}` does not exist or you do not have access to it. It is only an alias of the "
        f"demonstration model {bundled.id}, which in production (AFINA_ENV) answers to its own name alone. "
        "The operator can give it a model with `afina models-add`."
    )
    return NotFound(message, param="model", code="model_not_found")
