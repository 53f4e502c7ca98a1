"""What the conversations ask about: thousands of subjects in each language, some of them kept for measuring."""

import re
import tomllib
import zlib
from collections.abc import Iterable, Iterator
from itertools import product
from pathlib import Path
from random import Random

from sources import Document

PARTS = Path(__file__).with_name("material") / "subjects.toml"
HELD_OUT_ONE_IN = 8
QUESTION = re.compile(
    r"^(?:What are the (?:symptoms|treatments|causes|complications|stages|genetic changes)"
    r" (?:of|for|related to)"
    r"|What (?:is|are)(?: \(are\))?(?! the )|What causes|How to (?:diagnose|prevent)|What is the outlook for"
    r"|Who is at risk for|How many people are affected by)\s+(\S.{1,58}?)\s*\?$"
)
# Diseases named after people are called the same way in Spanish.
EPONYM = re.compile(r"([A-Z][\w'-]+(?:[ -][A-Z][\w'-]+)*) (syndrome|disease)")
IN_SPANISH = {"syndrome": "el síndrome de {}", "disease": "la enfermedad de {}"}


def training(language: str, documents: Iterable[Document]) -> list[str]:
    """Return what may be asked in training: subjects of public questions and composed ones."""
    return public(language, documents) + [s for s in composed(language) if not _is_held_out(s)]


def fresh(language: str, documents: Iterable[Document], seen: Iterable[Document], count: int) -> list[str]:
    """Return count subjects that no training text asks about: half of public questions, where there are enough."""
    known = {subject.casefold() for subject in public(language, seen)}
    asked = _unknown(public(language, documents), known)
    kept = _unknown((subject for subject in composed(language) if _is_held_out(subject)), known)
    random = Random(0)
    chosen = random.sample(asked, min(len(asked), count // 2))
    return chosen + random.sample(kept, count - len(chosen))


def public(language: str, documents: Iterable[Document]) -> list[str]:
    """Return the subjects that public health questions ask about, sorted; in Spanish those named after people."""
    questions = (message["content"] for d in documents for message in d.messages if message["role"] == "user")
    found = (QUESTION.match(question) for question in questions)
    subjects = sorted({match[1] for match in found if match and "(" not in match[1]})
    if language == "en":
        return subjects
    eponyms = (EPONYM.fullmatch(subject) for subject in subjects)
    return [IN_SPANISH[match[2]].format(match[1]) for match in eponyms if match]


def composed(language: str) -> Iterator[str]:
    """Yield every pairing of a complaint and a place of the body, of a kind and a condition."""
    parts = tomllib.loads(PARTS.read_text(encoding="utf-8"))[language]
    for pattern, part in (
        *product(parts["heads"], parts["places"]),
        *product(parts["kinds"], parts["conditions"]),
    ):
        yield pattern.format(x=part)


def _unknown(subjects: Iterable[str], known: set[str]) -> list[str]:
    """Each subject once, however it is written, but for the known ones."""
    return list({s.casefold(): s for s in subjects if s.casefold() not in known}.values())


def _is_held_out(subject: str) -> bool:
    return zlib.crc32(subject.encode()) % HELD_OUT_ONE_IN == 0
