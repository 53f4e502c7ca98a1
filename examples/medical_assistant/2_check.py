"""Step 2: the format checks and statistics of OpenAI's cookbook by their names, and tools, which it did not know."""

import json
import sys
from pathlib import Path
from statistics import median

import state

ROLES = ("system", "developer", "user", "assistant", "tool", "function")
CALLS = {"tool_calls", "function_call"}
KEYS = {"role", "content", "name", "weight", "refusal", "tool_call_id", *CALLS}


def faults(line: bytes) -> list[str]:
    try:
        messages: list[dict[str, object]] = json.loads(line).get("messages")
    except (ValueError, AttributeError):
        return ["data_type"]
    if type(messages) is not list or not messages or any(type(m) is not dict for m in messages):
        return ["missing_messages_list"]
    wrong = {
        "message_missing_key": any("role" not in m or not {"content", *CALLS} & m.keys() for m in messages),
        "message_unrecognized_key": any(m.keys() - KEYS for m in messages),
        "unrecognized_role": any(m.get("role") not in ROLES for m in messages),
        "missing_content": not all(m.get("content") or CALLS & m.keys() for m in messages),
        "example_missing_assistant_message": all(m.get("role") != "assistant" for m in messages),
    }
    return [name for name, is_wrong in wrong.items() if is_wrong]


def show_statistics(rows: list[list[dict[str, object]]], limit: int) -> None:
    sizes = [sum(len(str(m.get("content") or "")) for m in row) for row in rows]
    for role in ("system", "user"):
        print(f"  n_missing_{role}: {sum(all(m['role'] != role for m in row) for row in rows)}")
    for name, numbers in (("messages", [len(row) for row in rows]), ("characters", sizes)):
        print(f"  {name} per example: min {min(numbers)}, median {median(numbers):g}, max {max(numbers)}")
    print(f"  over {limit:,} tokens of four characters: {sum(size > 4 * limit for size in sizes)}")


def main() -> None:
    parser = state.parser(__doc__)
    parser.add_argument("file", type=Path, nargs="*", help="default: the two files of step 1")
    parser.add_argument("--limit", type=int, default=65_536, help="tokens per example (default: 65,536)")
    given = parser.parse_args()
    for path in given.file or state.sides(given.folder):
        lines = path.read_bytes().removesuffix(b"\n").split(b"\n")
        found = [(name, number) for number, line in enumerate(lines, 1) for name in faults(line)]
        print(f"{path}: {len(lines)} rows, {len(found)} faults")
        for name, number in dict(reversed(found)).items():
            print(f"  {name}: {sum(name == other for other, _ in found)} rows, first in line {number}")
        if found:
            sys.exit(1)
        show_statistics([json.loads(line)["messages"] for line in lines], given.limit)
    state.say_next(given.folder, "3_price.py")


if __name__ == "__main__":
    state.run(main)
