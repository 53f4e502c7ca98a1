"""Figures that a slow test measured, kept in `docs/figures/` where `make figures` asks for it."""

import json
import os
from collections.abc import Mapping
from math import comb
from pathlib import Path

FOLDER = Path(__file__).parents[1] / "docs" / "figures"


def keep(name: str, figures: Mapping[str, object]) -> None:
    """Print the figures, and write them down where `AFINA_FIGURES` is set."""
    text = json.dumps(figures, indent=1)
    print(name, text)
    if os.environ.get("AFINA_FIGURES"):
        FOLDER.mkdir(exist_ok=True)
        (FOLDER / f"{name}.json").write_text(text + "\n", encoding="utf-8")


def sign_test(wins: int, losses: int) -> float:
    """How likely at least so many wins are where win and loss are as likely; ties are left out (one-sided)."""
    total = wins + losses
    return sum(comb(total, won) for won in range(wins, total + 1)) / 2**total
