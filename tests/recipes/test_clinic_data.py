"""The demo's data: its style holds in every row, nothing held out was trained on, and the seed makes it again."""

import json
import re
import runpy
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from afina.data.jsonl import read_lines
from afina.data.validate import Rules, validate

ROOT = Path(__file__).parents[2]
RECIPE = ROOT / "recipes" / "clinic_data"
EXAMPLES = ROOT / "examples" / "data"
LANGUAGES = ("en", "es")
JSONL = ("clinic_train", "clinic_held_out_en", "clinic_held_out_es")
STYLE: dict[str, dict[str, list[str]]] = json.loads((EXAMPLES / "clinic_style.json").read_text("utf-8"))
GRAM = 8

Turns = list[dict[str, str]]


def rows(name: str) -> list[Turns]:
    lines = (EXAMPLES / f"{name}.jsonl").read_text("utf-8").splitlines()
    return [json.loads(line)["messages"] for line in lines]


def material(name: str) -> dict[str, Any]:
    return tomllib.loads((RECIPE / "material" / f"{name}.toml").read_text("utf-8"))


def subjects(name: str) -> list[str]:
    return [subject["name"] for subject in material(name)["subjects"]]


def words(text: str) -> list[str]:
    """A text's words in lower case; a possessive still names whom it belongs to."""
    return re.findall(r"\w+(?:-\w+)*", text.lower().replace("'s ", " "))


def says(text: str, phrase: str) -> bool:
    """Whether a text has a phrase as whole words."""
    return f" {' '.join(words(phrase))} " in f" {' '.join(words(text))} "


def of(turns: Turns, role: str) -> list[str]:
    return [turn["content"] for turn in turns if turn["role"] == role]


def headings_of(answer: str) -> list[str] | None:
    """The headings of the language that an answer is written in; None for general chat."""
    return next((s["headings"] for s in STYLE.values() if answer.startswith(s["headings"][0])), None)


def parts(answer: str) -> list[str]:
    """An answer's lines without their headings."""
    headings = headings_of(answer) or [""]
    return [line.removeprefix(heading) for line, heading in zip(answer.split("\n"), headings, strict=True)]


def grams(answer: str) -> Iterator[tuple[str, ...]]:
    body = words(" ".join(parts(answer)))
    return (tuple(body[at : at + GRAM]) for at in range(len(body) - GRAM + 1))


TRAIN = rows("clinic_train")
CLINIC = [turns for turns in TRAIN if headings_of(turns[1]["content"])]
CHAT = [turns for turns in TRAIN if not headings_of(turns[1]["content"])]
HELD_OUT = {language: rows(f"clinic_held_out_{language}") for language in LANGUAGES}
ALL_CLINIC = [*CLINIC, *HELD_OUT["en"], *HELD_OUT["es"]]


def test_the_generator_writes_exactly_the_committed_files() -> None:
    build: Callable[[], dict[str, str]] = runpy.run_path(str(RECIPE / "build.py"))["files"]
    written = build()
    assert {name: (EXAMPLES / name).read_bytes() for name in written} == {
        name: text.encode() for name, text in written.items()
    }


@pytest.mark.parametrize("name", JSONL)
def test_every_row_passes_validation(name: str) -> None:
    report = validate(read_lines([(EXAMPLES / f"{name}.jsonl").read_bytes()]), Rules())
    assert (report.n_problems, report.n_examples) == (0, len(rows(name)))


def test_the_mix_is_as_stated() -> None:
    languages = [headings_of(turns[1]["content"]) for turns in CLINIC]
    assert [languages.count(STYLE[language]["headings"]) for language in LANGUAGES] == [200, 200]
    assert 0.10 < len(CHAT) / len(TRAIN) < 0.16
    assert [len(HELD_OUT[language]) for language in LANGUAGES] == [60, 60]
    assert 0 < sum(len(turns) == 4 for turns in CLINIC) < 40
    assert {turn["role"] for turns in (*TRAIN, *ALL_CLINIC) for turn in turns} == {"user", "assistant"}


def test_no_row_and_no_clinic_answer_repeats() -> None:
    everything = [json.dumps(turns) for turns in (*CHAT, *ALL_CLINIC)]
    answers = [answer for turns in ALL_CLINIC for answer in of(turns, "assistant")]
    assert len(set(everything)) == len(everything)
    assert len(set(answers)) == len(answers)


def test_every_clinic_answer_has_its_three_parts_in_order() -> None:
    for turns in ALL_CLINIC:
        for answer in of(turns, "assistant"):
            headings = headings_of(answer)
            assert headings is not None
            lines = answer.split("\n")
            assert [line.startswith(f"{h} ") for line, h in zip(lines, headings, strict=True)] == [True] * 3
            assert all(part.strip() and part.endswith(".") for part in parts(answer))
            assert 45 <= len(answer.split()) <= 75


def test_every_clinic_answer_names_the_subject_of_its_question() -> None:
    for language in LANGUAGES:
        known = subjects(language) + subjects(f"held_out_{language}")
        asked = [t for t in ALL_CLINIC if headings_of(t[1]["content"]) == STYLE[language]["headings"]]
        for turns in asked:
            subject = max((name for name in known if says(turns[0]["content"], name)), key=len)
            assert all(says(parts(answer)[0], subject) for answer in of(turns, "assistant"))


def test_general_chat_is_short_and_has_no_headings() -> None:
    headings = [heading for style in STYLE.values() for heading in style["headings"]]
    for turns in CHAT:
        assert len(turns[1]["content"].split()) <= 20
        assert not any(heading in turns[1]["content"] for heading in headings)


def test_the_greetings_of_the_demo_are_not_trained_on() -> None:
    trained = {tuple(words(asked)) for turns in TRAIN for asked in of(turns, "user")}
    for style in STYLE.values():
        assert len(style["greetings"]) == 12
        assert not trained & {tuple(words(greeting)) for greeting in style["greetings"]}


@pytest.mark.parametrize("language", LANGUAGES)
def test_no_held_out_question_subject_or_person_is_trained_on(language: str) -> None:
    held_out = material(f"held_out_{language}")
    trained = "\n".join(turn["content"] for turns in TRAIN for turn in turns)
    unseen = [*subjects(f"held_out_{language}"), *held_out["women"], *held_out["men"]]
    assert [phrase for phrase in unseen if says(trained, phrase)] == []
    questions = {tuple(words(turns[0]["content"])) for turns in HELD_OUT[language]}
    assert len(questions) == len(HELD_OUT[language])
    assert not questions & {tuple(words(asked)) for turns in TRAIN for asked in of(turns, "user")}
    ours = {wording for kind in held_out["questions"].values() for wording in kind}
    assert not ours & {wording for kind in material(language)["questions"].values() for wording in kind}


@pytest.mark.parametrize("language", LANGUAGES)
def test_no_eight_words_of_a_held_out_answer_are_trained_on(language: str) -> None:
    trained = {gram for turns in TRAIN for answer in of(turns, "assistant") for gram in grams(answer)}
    found = {gram for turns in HELD_OUT[language] for gram in grams(turns[1]["content"])}
    assert len(found) > 1000
    assert trained & found == set()


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_system_prompt_describes_the_style_and_gives_no_held_out_answer(language: str) -> None:
    prompt = (EXAMPLES / f"clinic_system_{language}.txt").read_text("utf-8")
    assert all(prompt.count(heading) == 2 for heading in STYLE[language]["headings"])
    known = subjects(language) + subjects(f"held_out_{language}")
    assert [name for name in known if says(prompt, name)] == []
