"""Countdown: numbers and a target are given, and a calculation is wanted. Does reinforcement teach it?"""

import random
import re
from collections.abc import Sequence
from inspect import getsource
from statistics import fmean

import pytest
from openai import OpenAI
from openai.types.fine_tuning import FineTuningJob

from afina_server import ended, jsonl, upload
from figures import keep, sign_test

SEEDS = (1, 2, 3)
FORMAT_ROWS, TRAINED, HELD_OUT = 60, 80, 40
LARGEST = 20
REPLIES = 4  # to each held-out problem, before and after
REPLY_TOKENS = 24
SHAPING = {"n_epochs": 5, "batch_size": 4}
LEARNING = {"n_epochs": 4, "batch_size": 8, "eval_interval": 10, "eval_samples": 2}
WEIGHTS = {"parses": 0.5, "numbers": 0.3, "right": 0.2}


def read(text: str) -> tuple[list[int], int] | None:
    """The numbers of a calculation such as `3 + 4`, sorted, and its value; None where the text is none."""
    number = r"(0|[1-9]\d{0,5})"
    if re.fullmatch(rf"{number}( [-+*] {number})*", text.strip()) is None:
        return None
    return sorted(map(int, re.findall(r"\d+", text))), eval(text)


def parses(text: str, item: dict) -> bool:
    return read(text) is not None


def numbers(text: str, item: dict) -> bool:
    found = read(text)
    return found is not None and found[0] == sorted(item["numbers"])


def right(text: str, item: dict) -> bool:
    return numbers(text, item) and read(text)[1] == item["target"]


PARTS = {"parses": parses, "numbers": numbers, "right": right}


def grader() -> dict:
    """The three parts as python graders, and their weighted sum."""
    functions = "\n".join(map(getsource, (read, parses, numbers, right)))
    graders = {
        name: {
            "type": "python",
            "name": name,
            "source": f"import re\n{functions}\n"
            f"def grade(sample, item):\n    return float({name}(sample['output_text'], item))\n",
        }
        for name in PARTS
    }
    weighted = " + ".join(f"{weight} * {name}" for name, weight in WEIGHTS.items())
    return {"type": "multi", "name": "countdown", "graders": graders, "calculate_output": weighted}


def problems(count: int) -> list[dict]:
    """So many problems of two numbers, all different, each with a calculation that solves it."""
    chance = random.Random(20261123)
    made: dict[tuple[int, ...], dict] = {}
    while len(made) < count:
        one, other = (chance.randint(1, LARGEST) for _ in range(2))
        solution = f"{one} {chance.choice('+-*')} {other}"
        given = chance.sample([one, other], 2)
        target = eval(solution)
        if target > 0:
            problem = {"numbers": given, "target": target, "solution": solution}
            made.setdefault((*sorted(given), target), problem)
    return list(made.values())


def asked(problem: dict) -> list[dict]:
    one, other = problem["numbers"]
    return [{"role": "user", "content": f"Numbers: {one}, {other}. Target: {problem['target']}."}]


def solved(problem: dict) -> dict:
    """A row that shows the format."""
    return {"messages": [*asked(problem), {"role": "assistant", "content": problem["solution"]}]}


def posed(problem: dict) -> dict:
    """A row to try replies on."""
    return {"messages": asked(problem), "numbers": problem["numbers"], "target": problem["target"]}


def succeeded(client: OpenAI, jobs: Sequence[FineTuningJob]) -> list[str]:
    """The models of some jobs, once all are over."""
    over = [ended(client, job.id, seconds=3000) for job in jobs]
    assert [(job.status, job.error) for job in over] == [("succeeded", None)] * len(jobs)
    return [job.fine_tuned_model for job in over]


def earned(client: OpenAI, model: str, held_out: Sequence[dict]) -> list[dict[str, float]]:
    """What a model's replies to each problem earn on average, part by part."""
    found: list[dict[str, float]] = []
    for problem in held_out:
        reply = client.chat.completions.create(
            model=model, messages=asked(problem), n=REPLIES, seed=7, max_tokens=REPLY_TOKENS
        )
        texts = [choice.message.content for choice in reply.choices]
        found.append({name: fmean(part(text, problem) for text in texts) for name, part in PARTS.items()})
    return found


def sums(seeds: Sequence[Sequence[dict[str, float]]]) -> list[float]:
    """The weighted sum of each problem, averaged over the seeds."""
    return [
        fmean(sum(WEIGHTS[name] * parts[name] for name in PARTS) for parts in problem)
        for problem in zip(*seeds, strict=True)
    ]


def apart(problems: Sequence[dict[str, float]]) -> dict[str, float]:
    """The mean of each part, and the weighted sum of them."""
    means = {name: fmean(parts[name] for parts in problems) for name in PARTS}
    means["sum"] = sum(WEIGHTS[name] * mean for name, mean in means.items())
    return {name: round(mean, 4) for name, mean in means.items()}


@pytest.mark.slow
@pytest.mark.timeout(7200)
def test_reinforcement_raises_what_the_grader_counts(client: OpenAI) -> None:
    """The held-out problems chose the checkpoint; the replies to them are drawn anew."""
    everything = problems(FORMAT_ROWS + TRAINED + HELD_OUT)
    shown = everything[:FORMAT_ROWS]
    trained, held_out = everything[FORMAT_ROWS:-HELD_OUT], everything[-HELD_OUT:]
    rows = upload(client, jsonl(map(solved, shown)), "format.jsonl").id
    files = {
        "training_file": upload(client, jsonl(map(posed, trained)), "train.jsonl").id,
        "validation_file": upload(client, jsonl(map(posed, held_out)), "valid.jsonl").id,
    }
    create = client.fine_tuning.jobs.create
    first = [
        create(model="afina-tiny", training_file=rows, seed=seed, hyperparameters=SHAPING) for seed in SEEDS
    ]
    shaped = succeeded(client, first)
    method = {
        "type": "reinforcement",
        "reinforcement": {"grader": grader(), "hyperparameters": LEARNING},
    }
    tokens = {"afina": {"max_completion_tokens": REPLY_TOKENS}}
    second = [
        create(model=model, method=method, seed=seed, extra_body=tokens, **files)
        for model, seed in zip(shaped, SEEDS, strict=True)
    ]
    tuned = succeeded(client, second)
    before, after = ([earned(client, model, held_out) for model in models] for models in (shaped, tuned))
    pairs = list(zip(sums(before), sums(after), strict=True))
    wins, losses = sum(a < b for a, b in pairs), sum(b < a for a, b in pairs)
    chance = sign_test(wins, losses)
    seeds = [
        {"seed": seed, "after_format_rows": apart(one), "after_reinforcement": apart(other)}
        for seed, one, other in zip(SEEDS, before, after, strict=True)
    ]
    keep(
        "countdown",
        {
            "problems": {"format": FORMAT_ROWS, "training": TRAINED, "validation": HELD_OUT},
            "weights": WEIGHTS,
            "seeds": seeds,
            "validation_problems": {"better": wins, "worse": losses},
            "p_of_paired_sign_test": chance,
        },
    )
    assert all(one["after_reinforcement"]["sum"] > one["after_format_rows"]["sum"] for one in seeds)
    assert chance < 0.01
