"""Writes the demo's clinic conversations in examples/data: hand-written material, put together by a seed.

Knows no model: which subjects, people and wordings are held out is decided by the material's files.
"""

import json
import re
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

MATERIAL = Path(__file__).with_name("material")
EXAMPLES = Path(__file__).parents[2] / "examples" / "data"
LANGUAGES = ("en", "es")
# What a question can be about; a subject's table has one sentence of its own for each, or for most.
KINDS = ("what", "helps", "worry", "person")
SEED = 20
TWO_EXCHANGES = 12  # conversations per language in which the subject is asked about again
SUMS = 5  # per language
VERBS = {"en": {False: "is", True: "are"}, "es": {False: "es", True: "son"}}

Turns = list[dict[str, str]]


@dataclass(frozen=True)
class Subject:
    """A complaint: how it is spoken of (`name`, `the` name, what one `has`), and its facts."""

    name: str
    the: str
    has: str
    plural: bool
    who: str
    short: dict[str, str]  # by kind of question
    do: list[str]
    limit: list[str]
    care: list[str]


@dataclass(frozen=True)
class Material:
    """One language's subjects, and the wordings and people that ask about them."""

    language: str
    headings: list[str]
    questions: dict[str, list[str]]
    relatives: dict[str, list[list[str]]]
    people: dict[str, list[str]]  # by gender
    subjects: list[Subject]


def load(name: str) -> Material:
    """The material of a file such as `en` or `held_out_en`; headings and relatives are the language's."""
    language = name[-2:]
    own, house = _toml(name), _toml(language)
    return Material(
        language=language,
        headings=house["headings"],
        questions=own["questions"],
        relatives=house["relatives"],
        people={"f": own["women"], "m": own["men"]},
        subjects=[_subject(table) for table in own["subjects"]],
    )


def clinic(material: Material, random: Random, *, two_exchanges: int = 0) -> Iterator[Turns]:
    """Yield a conversation for each kind of question on each subject; some go on to a second exchange."""
    asked_again = random.sample(range(len(material.subjects)), two_exchanges)
    for number, subject in enumerate(material.subjects):
        kinds = [kind for kind in KINDS if kind in subject.short]
        second = random.choice(["helps", "worry"]) if number in asked_again else ""
        for kind in kinds:
            if kind == second:
                continue
            turns = _exchange(material, subject, kind, random=random)
            if kind == "what" and second:
                again = random.choice(material.questions[f"again_{second}"])
                turns += _turns(again, _answer(material, subject, second))
            yield turns


def chat(language: str, random: Random) -> Iterator[Turns]:
    """Yield small talk and small sums, answered plainly."""
    talk = _toml("chat")[language]
    for ask, reply in talk["exchanges"]:
        yield _turns(ask, reply)
    for a, b in zip(random.sample(range(5, 20), SUMS), random.sample(range(5, 20), SUMS), strict=True):
        ask = random.choice(talk["sum"])
        yield _turns(ask.format(a=a, b=b), talk["sum_reply"].format(a=a, b=b, c=a + b))


def files() -> dict[str, str]:
    """Every file of the demo's data, by name."""
    random = Random(SEED)
    train: list[Turns] = []
    for language in LANGUAGES:
        train += clinic(load(language), random, two_exchanges=TWO_EXCHANGES)
        train += chat(language, random)
    random.shuffle(train)
    written = {"clinic_train.jsonl": _jsonl(train)}
    style: dict[str, dict[str, list[str]]] = {}
    for language in LANGUAGES:
        held_out = list(clinic(load(f"held_out_{language}"), random))
        random.shuffle(held_out)
        house = _toml(language)
        written[f"clinic_held_out_{language}.jsonl"] = _jsonl(held_out)
        written[f"clinic_system_{language}.txt"] = house["system"].format(*house["headings"])
        style[language] = {"headings": house["headings"], "greetings": _toml("chat")[language]["greetings"]}
    written["clinic_style.json"] = json.dumps(style, ensure_ascii=False, indent=2) + "\n"
    return written


def _exchange(material: Material, subject: Subject, kind: str, *, random: Random) -> Turns:
    relative, gender = random.choice(material.relatives[subject.who])
    person = random.choice(material.people[gender])
    verb = VERBS[material.language][subject.plural]
    question = random.choice(material.questions[kind]).format(
        the=subject.the, has=subject.has, relative=relative, n=person, Is=verb.capitalize(), **{"is": verb}
    )
    return _turns(_contract(question), _answer(material, subject, kind, person=person))


def _answer(material: Material, subject: Subject, kind: str, *, person: str = "") -> str:
    """The three parts; self-care and its limit are dealt out, so that a subject's answers differ.

    All warning signs stand in every answer, the most urgent first: nobody should miss one for having asked
    differently.
    """
    turn = KINDS.index(kind)
    parts = [
        subject.short[kind].format(n=person),
        f"{subject.do[turn % len(subject.do)]} {subject.limit[turn % len(subject.limit)]}",
        " ".join(subject.care),
    ]
    return "\n".join(f"{heading} {part}" for heading, part in zip(material.headings, parts, strict=True))


def _subject(table: dict[str, Any]) -> Subject:
    name = table["name"]
    return Subject(
        name=name,
        the=table.get("the", name),
        has=table.get("has", name),
        plural=table.get("plural", False),
        who=table["who"],
        short={kind: table[kind] for kind in KINDS if kind in table},
        do=table["do"],
        limit=table["limit"],
        care=table["care"],
    )


def _turns(ask: str, reply: str) -> Turns:
    return [{"role": "user", "content": ask}, {"role": "assistant", "content": reply}]


def _contract(text: str) -> str:
    """Join Spanish 'de el' and 'a el', which wordings produce, into 'del' and 'al'."""
    return re.sub(r"\b(de|a) el\b", lambda found: {"de": "del", "a": "al"}[found[1]], text)


def _jsonl(conversations: list[Turns]) -> str:
    return "".join(json.dumps({"messages": turns}, ensure_ascii=False) + "\n" for turns in conversations)


def _toml(name: str) -> dict[str, Any]:
    return tomllib.loads((MATERIAL / f"{name}.toml").read_text(encoding="utf-8"))


def main() -> None:
    """Rewrite the files in examples/data."""
    for name, text in files().items():
        (EXAMPLES / name).write_text(text, encoding="utf-8", newline="\n")


if __name__ == "__main__":
    main()
