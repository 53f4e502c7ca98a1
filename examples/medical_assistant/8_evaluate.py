"""Step 8: base against tuned on questions that training never saw, by plain counts of words.

They show a learned style, not whether an answer is true, safe or kind. Let clinicians read the answers first.
"""

import json
import random
import re
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from operator import sub
from statistics import mean
from typing import Any

import state
from openai import OpenAI


def measured(said: str, reference: str) -> tuple[float, float]:
    """The share of the reference's different words that are said too, and the length over the reference's."""
    words, wanted = re.findall(r"\w+", said.lower()), re.findall(r"\w+", reference.lower()) or [""]
    return len({*words} & {*wanted}) / len({*wanted}), len(words) / len(wanted)


def answer(client: OpenAI, model: str, messages: list[Any]) -> tuple[str, float, float]:
    reply = client.chat.completions.create(model=model, messages=messages[:-1], temperature=0, max_tokens=200)
    said = reply.choices[0].message.content or ""
    return said, *measured(said, str(messages[-1]["content"]))


def interval(values: list[float], resamples: int = 2000) -> str:
    """The mean and its 95% bootstrap interval: what as many other questions might have given."""
    draw = random.Random(7)
    means = sorted(mean(draw.choices(values, k=len(values))) for _ in range(resamples))
    return f"{mean(values):5.2f} [{means[resamples // 40]:5.2f}, {means[-resamples // 40]:5.2f}]"


def main() -> None:
    parser = state.parser(__doc__)
    parser.add_argument("--rows", type=int, default=50, help="held-out rows asked, at most (default: 50)")
    given = parser.parse_args()
    models = state.need(given.folder, "base", "model")
    lines = (given.folder / "held_out.jsonl").read_text(encoding="utf-8").split("\n")[:-1]
    rows = [json.loads(line)["messages"] for line in lines[: given.rows]]
    with ThreadPoolExecutor(8) as pool:
        base, tuned = (list(pool.map(partial(answer, OpenAI(), model), rows)) for model in models)
    for number, row in enumerate(rows[:5]):
        print(f"\nquestion:  {row[-2]['content']}\nreference: {row[-1]['content']}")
        print(f"base:      {base[number][0]}\ntuned:     {tuned[number][0]}")
    print(f"\n{len(rows)} rows; mean [95% interval]; if tuned - base includes 0, no difference was found")
    for place, name in ((1, "share of the reference's words"), (2, "length over the reference's")):
        before, after = ([float(one[place]) for one in side] for side in (base, tuned))
        print(f"{name}: base {interval(before)}, tuned {interval(after)}")
        print(f"{'tuned - base':>{len(name)}}: {interval(list(map(sub, after, before)))}")
    print("Words are counted here, not truth, safety or kindness: let clinicians read the answers.")


if __name__ == "__main__":
    state.run(main)
