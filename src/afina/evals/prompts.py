"""The best prompt at hand for a base model: a system message, and examples of answers drawn from training rows."""

import json
import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from afina.data.messages import Conversation
from afina.data.strict_json import JsonObject
from afina.evals.words import language

COUNTS = (0, 3, 8)
JUDGES = 16
SEED = 20_270_106
_INSTRUCTIONS = ("system", "developer")


@dataclass(frozen=True)
class Prompt:
    """What is put before a conversation."""

    system: str | None = None
    examples: tuple[Conversation, ...] = ()

    def before(self, talk: Conversation) -> Conversation:
        """The conversation behind the prompt; only its own answers are scored.

        Its own instructions go before the examples, unless the prompt has others.
        """
        own = [message for message in talk.messages if message["role"] in _INSTRUCTIONS]
        told: list[JsonObject] = own if self.system is None else [{"role": "system", "content": self.system}]
        shown = [unweighed(message) for example in self.examples for message in turns(example)]
        return Conversation([*told, *shown, *turns(talk)], talk.tools)


def turns(talk: Conversation) -> list[JsonObject]:
    """What was said, without instructions."""
    return [message for message in talk.messages if message["role"] not in _INSTRUCTIONS]


def unweighed(message: JsonObject) -> JsonObject:
    """An answer that is read and not scored."""
    return {**message, "weight": 0} if message["role"] == "assistant" else message


@dataclass(frozen=True)
class Draw:
    """Examples for prompts of several sizes, and other rows that judge which size serves best."""

    examples: tuple[Conversation, ...]
    judges: tuple[Conversation, ...]

    def prompts(self, system: str | None) -> list[Prompt]:
        """One prompt for each number of examples, smallest first; a larger one begins with the smaller."""
        counts = sorted({min(count, len(self.examples)) for count in COUNTS})
        return [Prompt(system, self.examples[:count]) for count in counts]


def draw(rows: Sequence[Conversation], held_out: Sequence[Conversation], *, seed: int = SEED) -> Draw:
    """Rows that are not held out, of the held-out rows' language where there are enough, in a seeded order."""
    known = {identity(talk) for talk in held_out}
    free = [talk for talk in rows if identity(talk) not in known and not talk.tools]
    wanted = spoken(held_out)
    same = [talk for talk in free if language(text_of(talk)) == wanted]
    chosen = same if len(same) >= COUNTS[-1] + JUDGES else free
    random.Random(seed).shuffle(chosen)
    count = min(COUNTS[-1], len(chosen) // 2)
    return Draw(tuple(chosen[:count]), tuple(chosen[count : count + JUDGES]))


def spoken(talks: Sequence[Conversation]) -> str | None:
    """The language of most conversations."""
    return Counter(language(text_of(talk)) for talk in talks).most_common(1)[0][0]


def text_of(talk: Conversation) -> str:
    """Everything that is said in a conversation."""
    return "\n".join(said(message) for message in turns(talk))


def said(message: JsonObject) -> str:
    """A message's text; parts are joined."""
    content = message.get("content")
    if isinstance(content, list):
        return "".join(str(part.get("text", "")) for part in content if isinstance(part, dict))
    return content if isinstance(content, str) else ""


def identity(talk: Conversation) -> str:
    """Equal for conversations that say the same; loss weights do not count."""
    plain = [{key: value for key, value in m.items() if key != "weight"} for m in talk.messages]
    return json.dumps(plain, sort_keys=True, ensure_ascii=False)
