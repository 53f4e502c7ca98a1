"""The bases that everybody can name: the bundled one, those that an operator adds, and the names that lead to them."""

from collections.abc import Mapping, Sequence

import afina.base
from afina.errors import InvalidRequest, NotFound
from afina.schemas.models import Model
from afina.serving.bases import BUNDLED
from afina.store import audit, models, projects
from afina.store.scope import Scope, System

RELEASED = 1_763_769_600
OPENAI_NAMES = (
    "gpt-3.5-turbo",
    "gpt-3.5-turbo-0125",
    "gpt-3.5-turbo-1106",
    "gpt-3.5-turbo-0613",
    "gpt-4o",
    "gpt-4o-2024-08-06",
    "gpt-4o-mini",
    "gpt-4o-mini-2024-07-18",
    "gpt-4.1",
    "gpt-4.1-2025-04-14",
    "gpt-4.1-mini",
    "gpt-4.1-mini-2025-04-14",
    "gpt-4.1-nano",
    "gpt-4.1-nano-2025-04-14",
    "babbage-002",
    "davinci-002",
)
DEFAULT = "default"  # the model of a response that names none


def register_bundled(system: System) -> None:
    """Make the bundled base and its aliases known; what an operator has changed since stays as it is."""
    base = Model(
        id=afina.base.NAME,
        created=RELEASED,
        owned_by="afina",
        kind="base",
        base=afina.base.NAME,
        source=BUNDLED,
    )
    models.register(system, base)
    for name in (*OPENAI_NAMES, DEFAULT):
        models.alias_unless_taken(system, name, base.id)


def add_base(
    system: System, base: Model, names: Sequence[str], *, detail: Mapping[str, object]
) -> dict[str, str | None]:
    """Make a base and its aliases known to all projects, and tell each of them in its audit.

    Answers with what each alias meant before. A name keeps its weights: models are tuned on them.
    """
    known = find(system, base.id)
    if known is not None and (known.manifest_sha256, known.thinking) != (base.manifest_sha256, base.thinking):
        raise taken(base.id, "a base with other files or another thinking mode")
    if (meant := models.global_alias(system, base.id)) is not None:
        raise taken(base.id, f"an alias of {meant}, to be given with --alias")
    for name in names:
        if find(system, name) is not None:
            raise InvalidRequest(
                f"{name} is the name of a base, which always comes first. Choose another alias.",
                param="alias",
            )
    before = {name: models.global_alias(system, name) for name in names}
    models.register(system, base.model_copy(update={"created": known.created}) if known else base)
    for name in names:
        models.alias(system, name, base.id)
    for project in projects.every(system):
        scope = Scope(system.connection, project.id, project.organization_id)
        audit.record(scope, "base.added", base.id, actor="operator", detail={**detail, "aliases": before})
    return before


def find(system: System, name: str) -> Model | None:
    """The base with this id."""
    try:
        return models.base(system, name)
    except NotFound:
        return None


def taken(name: str, what: str) -> InvalidRequest:
    """A name that means something else already."""
    return InvalidRequest(f"The name {name} is taken: it is {what}. Choose another name.", param="name")
