"""Chats in made-up sentences: as long and as varied as asked for, the same for the same seed."""

import json
import random
import re
from collections.abc import Iterator
from pathlib import Path

SYLLABLES = tuple(
    a + b for a in ("b", "d", "f", "k", "l", "m", "n", "p", "r", "s", "t", "v") for b in "aeiou"
)
PLAIN = tuple(
    re.findall(
        r"\w+",
        """the of a to in is and that it for with as was on are by this be from or at have not which one had but they
        you were all we there their will when who more if no out so what up its about than into them can only other
        time new some could these two may first then do any like my now over such our man me even most made after also
        did many must before back see through way where get much go well your know should down work year because""",
    )
)
COMMON = 0.6  # the share of words that everybody knows
SENTENCE = (6, 18)


def sentence(chance: random.Random) -> str:
    """One sentence; one in ten of the rarer words is followed by a number."""
    words: list[str] = []
    for _ in range(chance.randint(*SENTENCE)):
        if chance.random() < COMMON:
            words.append(chance.choice(PLAIN))
        else:
            words.append("".join(chance.choices(SYLLABLES, k=chance.randint(2, 4))))
            words += [str(chance.randint(1, 999))] if chance.random() < 0.1 else []
    return " ".join(words).capitalize() + chance.choice(("." * 8) + "?!")


def paragraph(chance: random.Random, sentences: int) -> str:
    """Sentences one after the other."""
    return " ".join(sentence(chance) for _ in range(sentences))


def chats(count: int, *, seed: int, question: int = 2, answer: int = 3) -> Iterator[bytes]:
    """Lines of chat JSONL with one exchange; lengths in sentences vary between half and twice of what is said."""
    chance = random.Random(seed)
    for _ in range(count):
        lengths = [max(1, round(mean * chance.uniform(0.5, 2))) for mean in (question, answer)]
        texts = [paragraph(chance, length) for length in lengths]
        yield line(("user", texts[0]), ("assistant", texts[1]))


def line(*messages: tuple[str, str]) -> bytes:
    """One example."""
    rows = [{"role": role, "content": content} for role, content in messages]
    return json.dumps({"messages": rows}, ensure_ascii=False).encode() + b"\n"


def conversations(*, seed: int) -> Iterator[bytes]:
    """Endless lines of one to three exchanges behind a short system prompt."""
    chance = random.Random(seed)
    while True:
        messages = [("system", paragraph(chance, 1))]
        for _ in range(chance.randint(1, 3)):
            messages.append(("user", paragraph(chance, chance.randint(1, 4))))
            messages.append(("assistant", paragraph(chance, chance.randint(1, 8))))
        yield line(*messages)


def write(path: Path, size: int, *, seed: int) -> Path:
    """A file of at least `size` bytes."""
    with path.open("wb") as file:
        for row in conversations(seed=seed):
            file.write(row)
            if file.tell() >= size:
                return path
    raise AssertionError("conversations never end")
