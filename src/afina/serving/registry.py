"""The models that are there from the first start: the bundled base and the OpenAI names that lead to it."""

import afina.base
from afina.schemas.models import Model
from afina.serving.bases import BUNDLED
from afina.store import models
from afina.store.scope import System

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
    for name in OPENAI_NAMES:
        models.alias_unless_taken(system, name, base.id)
