"""Step 1: from question/answer conversations to a training file and a held-out file.

Each row of --data is {"messages": [...]} in OpenAI's chat format. A hash of the question chooses its side: a row
stays there when rows are added, and a question that was asked twice is never on both. De-identify rows before this.
"""

import hashlib
import json
import sys
from pathlib import Path
from typing import Any

import state

DATA = Path(__file__).resolve().parents[1] / "data" / "clinic_train.jsonl"
SYSTEM = "You are a clinic's assistant. Answer briefly, in plain words and in the language of the question."


def with_system(row: dict[str, Any], system: str) -> dict[str, Any]:
    """The same system message in each row, in place of any that was there."""
    turns = [message for message in row["messages"] if message["role"] not in ("system", "developer")]
    return {**row, "messages": [{"role": "system", "content": system}, *turns]}


def side_of(row: dict[str, Any], share: float, seed: int) -> str:
    asked = next(message["content"] for message in row["messages"] if message["role"] == "user")
    question = " ".join(str(asked).lower().split())
    digest = hashlib.sha256(f"{seed}:{question}".encode()).digest()
    return "held_out" if int.from_bytes(digest[:8], "big") < share * 2**64 else "train"


def main() -> None:
    parser = state.parser(__doc__)
    parser.add_argument("--data", type=Path, default=DATA, help=f"JSONL (default: the examples' {DATA.name})")
    parser.add_argument("--system", default=SYSTEM, help="the system message of rows and of later questions")
    parser.add_argument("--share", type=float, default=0.2, help="of the questions, held out (default: 0.2)")
    parser.add_argument("--seed", type=int, default=7, help="another seed, another split (default: 7)")
    given = parser.parse_args()
    sides: dict[str, list[str]] = {"train": [], "held_out": []}
    for number, line in enumerate(given.data.read_bytes().splitlines(), 1):
        try:
            row = with_system(json.loads(line), given.system)
            sides[side_of(row, given.share, given.seed)].append(json.dumps(row, ensure_ascii=False))
        except (ValueError, KeyError, TypeError, StopIteration):
            sys.exit(f"{given.data}, line {number}: no conversation; 2_check.py {given.data} says more")
    given.folder.mkdir(parents=True, exist_ok=True)
    for name, rows in sides.items():
        path, kept = given.folder / f"{name}.jsonl", dict.fromkeys(rows)
        path.write_text("".join(f"{row}\n" for row in kept), encoding="utf-8")
        print(f"{path}: {len(kept)} rows, {len(rows) - len(kept)} duplicates dropped")
        if not kept:
            sys.exit("no rows are left for this file: change --share, or bring more rows")
    state.extend(given.folder, system=given.system)
    state.say_next(given.folder, "2_check.py")


if __name__ == "__main__":
    state.run(main)
