"""Step 3: what the training costs, from tokens that the model itself counts.

Prices are what OpenAI asked per million training tokens on 2026-11-22: gpt-4o-mini 3.00, gpt-3.5-turbo 8.00,
gpt-4.1-mini 5.00, gpt-4o and gpt-4.1 25.00. Look them up again before you rely on them. On hardware of your own
there is no such bill. This step sends a few rows to the model.
"""

import json
import random
from typing import Any

import state
from openai import OpenAI


def price(tokens: int, epochs: int, usd_per_million: float) -> float:
    """US dollars; the tokens of the held-out file are free."""
    return tokens * epochs * usd_per_million / 1_000_000


def characters(row: dict[str, Any]) -> int:
    return sum(len(str(message.get("content") or "")) for message in row["messages"])


def characters_per_token(client: OpenAI, rows: list[dict[str, Any]]) -> float:
    """Measured by asking for one token and reading how long the prompt was; roles and separators count."""
    tokens = 0
    for row in rows:
        reply = client.chat.completions.create(model=state.BASE, messages=row["messages"], max_tokens=1)
        tokens += reply.usage.prompt_tokens if reply.usage else 0
    return sum(map(characters, rows)) / tokens


def main() -> None:
    parser = state.parser(__doc__)
    parser.add_argument(
        "--epochs", type=int, default=3, help='default: 3, which "auto" means for 34 rows and more'
    )
    parser.add_argument("--usd-per-million", type=float, default=3.00, help="default: 3.00, gpt-4o-mini's")
    parser.add_argument("--sample", type=int, default=5, help="rows sent to be counted (default: 5)")
    given = parser.parse_args()
    train, _ = state.sides(given.folder)
    with train.open(encoding="utf-8") as file:
        rows = [json.loads(line) for line in file]
    sampled = random.Random(7).sample(rows, min(given.sample, len(rows)))
    ratio = characters_per_token(OpenAI(), sampled)
    tokens = round(sum(map(characters, rows)) / ratio)
    usd = price(tokens, given.epochs, given.usd_per_million)
    print(f"{ratio:.2f} characters per token, by {state.BASE} on {len(sampled)} rows")
    print(f"about {tokens:,} tokens in {len(rows)} rows, {tokens * given.epochs:,} in {given.epochs} epochs")
    print(f"about ${usd:.2f} at ${given.usd_per_million:.2f} per million (OpenAI's prices of 2026-11-22)")
    state.say_next(given.folder, "4_upload.py")


if __name__ == "__main__":
    state.run(main)
