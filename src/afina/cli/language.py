"""The language that commands speak: English, or with AFINA_LANG=es Spanish, from the catalogue beside this file."""

import os
import tomllib
from functools import cache
from pathlib import Path

CATALOGUES = Path(__file__).parent


def spoken() -> str:
    """The language asked for, `en` or `es`."""
    return "es" if os.environ.get("AFINA_LANG", "").lower().startswith("es") else "en"


def _(text: str) -> str:
    """A text in the language spoken; the English one, where the catalogue has no other."""
    return catalogue(spoken()).get(text, text)


def decimal(figure: str) -> str:
    """A formatted number as the language writes it: `2.40`, `2,40`."""
    return figure if spoken() == "en" else figure.translate(str.maketrans(".,", ",."))


@cache
def catalogue(language: str) -> dict[str, str]:
    """The English texts of commands and what they are in another language."""
    path = CATALOGUES / f"{language}.toml"
    return tomllib.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
