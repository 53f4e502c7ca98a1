"""Prompts that replies are tried out on, and what a reply earns: 1 where its text holds a mark, else 0."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from afina.data import tokens
from afina.data.jsonl import Line
from afina.data.render import Rendered
from afina.schemas.graders import StringCheckGrader
from afina.schemas.runs import Trials
from afina.training import items
from bench.rows import FIRST_ID

WANTED = "want"
NEVER = 2**31  # the validation file is not looked at: the peer has none


@dataclass(frozen=True)
class Quest:
    """A step's prompts, all of one length in tokens, and so many replies to each.

    Nothing ends a reply before it has `reply` tokens, unless one id in `ends` does. About half of random replies hold
    the mark.
    """

    prompts: int
    prompt: int = 512
    replies: int = 8
    reply: int = 128
    mark: str = "N"
    ends: int | None = None

    @property
    def trials(self) -> Trials:
        """As a job asks for them."""
        grader = StringCheckGrader(
            type="string_check",
            name="mark",
            input="{{sample.output_text}}",
            reference=f"{{{{item.{WANTED}}}}}",
            operation="like",
        )
        return Trials(
            grader=grader, group_size=self.replies, max_tokens=self.reply, eval_interval=NEVER, eval_samples=1
        )


def store(path: Path, quest: Quest, *, steps: int, vocabulary: int, seed: int) -> None:
    """A token file of so many steps' prompts, of uniformly random ids, and the items beside it."""
    count = steps * quest.prompts
    drawn = np.random.default_rng(seed).integers(FIRST_ID, vocabulary, (count, quest.prompt)).tolist()
    lines = [Line(number, {"messages": [], WANTED: quest.mark}) for number in range(1, count + 1)]
    items.write(items.beside(path), lines)
    rows = [[Rendered(ids, [0] * len(ids))] for ids in drawn]
    tokens.write(path, rows, max_length=quest.prompt + quest.reply, format="reinforcement")
