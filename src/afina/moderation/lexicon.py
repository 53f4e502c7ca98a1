"""Phrases with scores: a text has the category of each phrase that it holds, the surer the more of them."""

import re
import tomllib
import unicodedata
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from afina.schemas.moderations import CATEGORIES

PHRASES = Path(__file__).with_name("lexicon.toml")
KEY = 4  # letters of its first word by which a phrase is found
GAP = r" (?:\w+ ){0,3}"  # what `...` stands for


@dataclass(frozen=True)
class Rule:
    """`score` is how sure it makes of its categories when one of its phrases is said."""

    categories: tuple[str, ...]
    score: float


Index = dict[str, list[tuple[Rule, re.Pattern[str]]]]


@cache
def phrases() -> Index:
    """The phrases of the file beside this one, by how they begin."""
    index: Index = {}
    for entry in tomllib.loads(PHRASES.read_text("utf-8"))["rule"]:
        rule = Rule(tuple(entry["categories"]), entry["score"])
        for phrase in (*entry["en"], *entry["es"]):
            pattern = re.compile(GAP.join(map(spelt, phrase.split(" ... "))) + r"\b")
            for word in phrase.split()[0].split("/"):
                index.setdefault(word.removesuffix("*")[:KEY], []).append((rule, pattern))
    return index


def spelt(words: str) -> str:
    """Words that follow each other as a pattern: `*` ends a word in any way, `a/b` is either word."""
    return " ".join(
        "(?:" + "|".join(re.escape(word).replace(r"\*", r"\w*") for word in either.split("/")) + ")"
        for either in words.split()
    )


def plain(text: str) -> str:
    """Words in small letters without accents, with single spaces and nothing else between them."""
    letters = unicodedata.normalize("NFKD", text.casefold())
    return " ".join(re.findall(r"\w+", "".join(c for c in letters if not unicodedata.combining(c))))


def scores(text: str) -> dict[str, float]:
    """How sure the phrases of a text make of each category, 0 to 1."""
    said = plain(text)
    told: set[Rule] = set()
    for word in re.finditer(r"\w+", said):
        for rule, pattern in phrases().get(word[0][:KEY], ()):
            if rule not in told and pattern.match(said, word.start()):
                told.add(rule)
    doubt = dict.fromkeys(CATEGORIES, 1.0)
    for rule in told:
        for category in rule.categories:
            doubt[category] *= 1 - rule.score
    return {category: round(1 - left, 6) for category, left in doubt.items()}
