"""What our side has said to the prompts of a run, kept so that the peer can say the same and learn from it."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from bench.pace import Tokens
from bench.recipe import Task

FILE = "replies.jsonl"
OURS = "ours"  # the folder of the side that speaks, where there is another that repeats it


@dataclass(frozen=True)
class Reply:
    """One reply; `logprobs` are those that its ids were drawn with."""

    prompt: Sequence[int]
    ids: Sequence[int]
    logprobs: Sequence[float]


def keep(task: Task, said: Sequence[Reply]) -> None:
    """Add the replies of one step, in their order."""
    with (Path(task.spec.folder) / FILE).open("a") as file:
        file.write(json.dumps([asdict(reply) for reply in said]) + "\n")


def kept(task: Task) -> list[list[Reply]]:
    """The replies of each step that our side has taken in the folder beside this one; none where it has not."""
    path = Path(task.spec.folder).parent / OURS / FILE
    lines = path.read_text().splitlines() if path.exists() else []
    return [[Reply(**reply) for reply in json.loads(line)] for line in lines]


def tokens_of(said: Sequence[Reply]) -> Tokens:
    """What a side without shared prompts is given: each reply behind its prompt. We compute each prompt once."""
    ids: list[int] = []
    supervised: list[bool] = []
    for reply in said:
        ids += [*reply.prompt, *reply.ids]
        supervised += [False] * len(reply.prompt) + [True] * len(reply.ids)
    prompts = {tuple(reply.prompt) for reply in said}
    computed = sum(map(len, prompts)) + sum(len(reply.ids) for reply in said)
    return Tokens(np.array(ids, np.int64), np.array(supervised), computed=computed)
