"""Endless small conversations from hand-written material: the same seed gives the same conversations.

Most of them ask about a subject and answer with its name, so that the model learns to carry what was asked.
"""

import json
import re
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random
from typing import Any

from sources import Document

MATERIAL = Path(__file__).with_name("material")
LANGUAGES = ("en", "es")
SYLLABLES = re.findall(
    r"\w+",
    "ba bel cor da den el fa gar hi jo ka len lo mar mi na nor or pa que ra ri sal se ta tor u val ve zo",
)
# How often a system message stands first, a subject is asked about again, and a person is written down as JSON.
SYSTEM, AGAIN, RECORD = 0.3, 0.25, 0.25
# Below the first, a subject is one of the thousands; below the second, a well known one; above, an invented name.
EXTRA, KNOWN = 0.7, 0.75

Turns = list[dict[str, Any]]
Material = dict[str, Any]


def load(language: str, extra_subjects: list[str]) -> Material:
    """Return a language's material, which also asks about extra subjects."""
    material = tomllib.loads((MATERIAL / f"{language}.toml").read_text(encoding="utf-8"))
    material["extra"] = extra_subjects
    material["other"] = tomllib.loads((MATERIAL / f"{_other(language)}.toml").read_text(encoding="utf-8"))
    return material


def conversations(material: Material, *, seed: int, count: int) -> Iterator[Document]:
    """Yield count conversations of one to three exchanges, some of them under a system message."""
    random = Random(seed)
    kinds, weights = list(KINDS), list(KINDS.values())
    for _ in range(count):
        kind = random.choices(kinds, weights)[0]
        if kind is calls:
            yield calls(material, random)
            continue
        turns: Turns = []
        for _ in range(random.choices([1, 2, 3], [7, 2, 1])[0]):
            turns += kind(material, random)
            kind = random.choices(kinds[:-1], weights[:-1])[0]
        system = [_message("system", random.choice(material["systems"]))] if random.random() < SYSTEM else []
        yield Document(messages=system + turns)


def about(material: Material, random: Random) -> Turns:
    """Ask about a subject; often ask again without naming it."""
    subject = _subject(material, random)
    turns = _exchange(random.choice(material["about"]), random, s=subject)
    if random.random() < AGAIN:
        turns += _exchange(random.choice(material["follow_up"]), random, s=subject)
    return turns


def advice(material: Material, random: Random) -> Turns:
    """Ask what to do about a subject; the answer is put together from steps and signs of warning."""
    text = material["advice"]
    a, b, c = random.sample(text["steps"], 3)
    x, y = random.sample(text["signs"], 2)
    filled = {
        "a": a,
        "b": b,
        "c": c,
        "k": random.choice(text["parts"]),
        "r": random.choice(text["relatives"]),
    }
    filled |= {"s": _subject(material, random), "W": random.choice(text["warn"]).format(x=x, y=y)}
    return _turns(random.choice(text["ask"]), random.choice(text["reply"]), filled)


def define(material: Material, random: Random) -> Turns:
    """Ask what an everyday thing is."""
    subject, definition = random.choice(material["definitions"])
    return _exchange(random.choice(material["define"]), random, s=subject, d=definition)


def repeat(material: Material, random: Random) -> Turns:
    """Ask for a phrase again: as it is, in capitals, or for its number of words."""
    chosen = [_subject(material, random) for _ in range(random.randint(1, 2))]
    phrase = ", ".join([*chosen, *random.sample(material["things"], random.randint(0, 2))])
    return _exchange(
        random.choice(material["repeat"]), random, s=phrase, upper=phrase.upper(), words=len(phrase.split())
    )


def exchange(material: Material, random: Random) -> Turns:
    """Greet, thank, ask who answers, ask for what must be refused."""
    return _exchange(random.choice(material["exchanges"]), random)


def sums(material: Material, random: Random) -> Turns:
    """Add, subtract and multiply small numbers, plainly or in a story."""
    text = material["sums"]
    kind = random.choice(["plain", "plain", "gain", "loss"])
    a, b = random.randint(1, random.choice([10, 20, 100])), random.randint(1, random.choice([10, 20]))
    operation = {"plain": random.choice("+-*"), "gain": "+", "loss": "-"}[kind]
    if operation == "-" and b > a:
        a, b = b, a
    result = {"+": a + b, "-": a - b, "*": a * b}[operation]
    words = {"a": a, "b": b, "c": result, "op": operation}
    words |= {"n": random.choice(material["names"]), "t": random.choice(material["things"])}
    return _turns(random.choice(text[kind]), text[f"{kind}_reply"], words)


def people(material: Material, random: Random) -> Turns:
    """Answer from a short text: age, place and work of a person, in words or as JSON."""
    text = material["people"]
    words = {
        key: random.choice(material[name]) for key, name in (("n", "names"), ("j", "jobs"), ("c", "cities"))
    }
    words["a"] = random.randint(18, 95)
    card = random.choice(text["card"])
    if random.random() < RECORD:
        record = {"name": words["n"], "age": words["a"], "city": words["c"]}
        ask = f"{card} {random.choice(text['record'])}".format(**words)
        return [_message("user", ask), _message("assistant", json.dumps(record, ensure_ascii=False))]
    question = random.choice(["age", "home", "work"])
    return _turns(f"{card} {random.choice(text[question])}", text[f"{question}_reply"], words)


def words(material: Material, random: Random) -> Turns:
    """Opposites, translations, what comes next, counting."""
    text = material["words"]
    kind = random.choice(["opposite", "translate", "after", "count"])
    if kind == "opposite":
        x, y = random.sample(random.choice(material["opposites"]), 2)
    elif kind == "translate":
        x, y = random.choice(_pairs(material))
    elif kind == "after":
        row: list[str] = random.choice([material["days"], material["months"], [str(n) for n in range(1, 60)]])
        place = random.randrange(len(row) - 1)
        x, y = row[place], row[place + 1]
    else:
        first = random.randint(1, 20)
        last = first + random.randint(2, 9)
        ask = random.choice(text["count"]).format(a=first, b=last)
        numbers = ", ".join(str(n) for n in range(first, last + 1))
        return [_message("user", ask), _message("assistant", numbers)]
    return _turns(random.choice(text[kind]), text[f"{kind}_reply"], {"x": x, "y": y})


def calls(material: Material, random: Random) -> Document:
    """Call a function that is offered, then answer from its result."""
    text = material["calls"]
    kind = random.choice(["weather", "visit", "record"])
    filled: dict[str, Any] = {
        "n": random.choice(material["names"]), "c": random.choice(material["cities"]),
        "d": random.choice(material["days"]), "a": random.randint(1, 35),
    }  # fmt: skip
    arguments, result = {
        "weather": ({"city": filled["c"]}, {"degrees": filled["a"]}),
        "visit": ({"name": filled["n"], "day": filled["d"]}, {"booked": True}),
        "record": ({"name": filled["n"]}, {"entries": filled["a"]}),
    }[kind]
    offered = {kind, *random.sample(list(FUNCTIONS), random.randint(1, 3))}
    tools = [_tool(name, text[f"{name}_about"]) for name in FUNCTIONS if name in offered]
    function = {"name": FUNCTIONS[kind][0], "arguments": json.dumps(arguments, ensure_ascii=False)}
    call = {"id": "call_1", "type": "function", "function": function}
    messages = [
        _message("user", random.choice(text[kind]).format(**filled)),
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "call_1", "content": json.dumps(result, ensure_ascii=False)},
        _message("assistant", text[f"{kind}_reply"].format(**filled)),
    ]
    return Document(messages=messages, tools=tools)


# Weights out of their sum; calls stands last because it makes whole conversations.
KINDS: dict[Callable[[Material, Random], Any], float] = {
    about: 30, advice: 16, repeat: 12, define: 6, exchange: 12, sums: 6, people: 8, words: 5, calls: 5,
}  # fmt: skip
FUNCTIONS = {
    "weather": ("get_weather", ["city"]),
    "visit": ("book_visit", ["name", "day"]),
    "record": ("find_record", ["name"]),
}


def _tool(kind: str, description: str) -> dict[str, Any]:
    name, keys = FUNCTIONS[kind]
    schema = {"type": "object", "properties": {key: {"type": "string"} for key in keys}, "required": keys}
    return {"type": "function", "function": {"name": name, "description": description, "parameters": schema}}


def _subject(material: Material, random: Random) -> str:
    """Return one of the thousands of subjects, a well known one, or a name nobody has heard of."""
    choice = random.random()
    if choice < EXTRA and material["extra"]:
        return random.choice(material["extra"])
    if choice < KNOWN:
        return random.choice(material["subjects"])
    invented = "".join(random.choice(SYLLABLES) for _ in range(random.randint(2, 4))).capitalize()
    return random.choice(material["patterns"]).format(x=invented)


def _pairs(material: Material) -> list[tuple[str, str]]:
    """Return words and their translations: lists of the two languages stand in the same order."""
    other = material["other"]
    lists = [(material[key], other[key]) for key in ("days", "months")]
    lists += zip(material["opposites"], other["opposites"], strict=True)
    return [pair for ours, theirs in lists for pair in zip(ours, theirs, strict=True)]


def _exchange(group: dict[str, list[str]], random: Random, **filled: Any) -> Turns:
    return _turns(random.choice(group["ask"]), random.choice(group["reply"]), filled)


def _turns(ask: str, reply: str, filled: dict[str, Any]) -> Turns:
    subject = str(filled.get("s", ""))
    filled = filled | {"S": subject[:1].upper() + subject[1:]}
    return [
        _message("user", _contract(ask.format(**filled))),
        _message("assistant", _contract(reply.format(**filled))),
    ]


def _contract(text: str) -> str:
    """Join Spanish 'de el' and 'a el', which templates produce, into 'del' and 'al'."""
    return re.sub(
        r"\b([Dd]e|[Aa]) el (?=[a-zñáéíóú])", lambda m: {"de": "del ", "a": "al "}[m[1].lower()], text
    )


def _message(role: str, content: str) -> dict[str, Any]:
    return {"role": role, "content": content}


def _other(language: str) -> str:
    return LANGUAGES[1 - LANGUAGES.index(language)]
