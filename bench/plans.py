"""What every step of a run is given, told in advance, for a leg that has torch."""

from collections.abc import Sequence

import numpy as np

from afina.data.tokens import TokenFile
from afina.schemas.runs import RunSpec
from afina.training.preferences import Pairs
from bench.pace import Tokens
from bench.rows import steps_of, tokens_of


def plan(spec: RunSpec) -> list[Tokens]:
    """What every step of a run is given."""
    if spec.method == "dpo":
        pairs = Pairs(spec.training_tokens)
        return [tokens_of_pairs(pairs, numbers) for numbers in steps_of(spec, len(pairs))]
    data = TokenFile.open(spec.training_tokens)
    return [tokens_of(data, rows) for rows in steps_of(spec, len(data))]


def tokens_of_pairs(pairs: Pairs, numbers: Sequence[int]) -> Tokens:
    """What a peer is given for these pairs, without padding: prompts with chosen answers, then with rejected ones."""
    made = pairs.sequences(list(numbers))
    answers = [made[place + which] for which in (1, 2) for place in range(0, len(made), 3)]
    ids: list[int] = []
    supervised: list[bool] = []
    for answer in answers:
        assert answer.parent is not None
        prompt = made[answer.parent].ids
        ids += [*prompt, *answer.ids]
        supervised += [False] * len(prompt) + [True] * len(answer.ids)
    return Tokens(np.array(ids, np.int64), np.array(supervised), computed=len(ids))
