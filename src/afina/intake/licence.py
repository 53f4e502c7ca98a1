"""What a model's folder says of its licence: the model card's front matter, or else the licence file."""

import re
from dataclasses import dataclass
from pathlib import Path

READ_IT = "Read it before you use the model: Afina does not know what it permits."
PERMISSIVE = {"apache-2.0", "mit", "bsd-2-clause", "bsd-3-clause", "isc", "cc0-1.0", "unlicense"}
REMARKS = {
    "llama": "Meta's community licence: conditions on use, on naming what is derived, and for very large services.",
    "gemma": "Google's Gemma terms: their prohibited uses bind whoever gets the model, or what is tuned from it.",
    "cc-by-nc": "Not for commercial use.",
    "mrl": "Mistral's research licence: not for commercial use without an agreement.",
}
TITLES = {
    "apache-2.0": re.compile(r"apache license\W+version 2", re.IGNORECASE),
    "mit": re.compile(r"\bmit license\b", re.IGNORECASE),
    "llama": re.compile(r"\bllama\b.*community license", re.IGNORECASE),
}
FIELD = re.compile(r"^(license|license_name):\s*[\"']?([A-Za-z0-9._ -]+?)[\"']?\s*$", re.MULTILINE)
READ_CHARACTERS = 16_384


@dataclass(frozen=True)
class Licence:
    """Its name, and a sentence where it is not a plain permissive one."""

    name: str
    remark: str = ""


def read(folder: Path) -> Licence:
    """The licence of a model's folder; a folder that names none is said to be so."""
    name = from_card(folder / "README.md") or from_text(folder)
    return described(name) if name else Licence("unknown", f"The folder names no licence. {READ_IT}")


def described(name: str) -> Licence:
    """A licence by its name."""
    key = name.lower()
    if key in PERMISSIVE:
        return Licence(key)
    starts = [start for start in REMARKS if key.startswith(start)]
    return Licence(name, REMARKS[max(starts, key=len)] if starts else READ_IT)


def from_card(path: Path) -> str | None:
    """`license` of the front matter; `license_name`, where it says no more than `other`."""
    parts = head(path).split("---", 2)
    if len(parts) < 3 or parts[0].strip():
        return None
    fields = dict(FIELD.findall(parts[1]))
    name = fields.get("license")
    return fields.get("license_name", name) if name == "other" else name


def from_text(folder: Path) -> str | None:
    """The licence whose title a licence file begins with; `other` where we do not know it."""
    for path in sorted(folder.glob("LICEN[CS]E*")):
        text = head(path)[:1000]
        return next((name for name, title in TITLES.items() if title.search(text)), "other")
    return None


def head(path: Path) -> str:
    """The beginning of a text file; nothing, where there is none."""
    if not path.is_file():
        return ""
    with path.open(encoding="utf-8", errors="replace") as file:
        return file.read(READ_CHARACTERS)
