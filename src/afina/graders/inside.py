"""What runs inside the sandbox: reads one order, limits itself, calls `grade`, and says what came of it.

It is started as a file by another Python, with the standard library alone; nothing here may import the package.
"""

import json
import math
import numbers
import os
import resource
import sys
import traceback
from types import TracebackType
from typing import Any, NoReturn

MOST_WORDS = 4000


def main() -> NoReturn:
    """One grade. The answer leaves by a descriptor of its own; what the grader prints goes nowhere."""
    answer = os.dup(1)
    order = json.load(sys.stdin)
    os.write(answer, order["nonce"].encode() + b"\n")  # from here on, what goes wrong is the grader's fault
    nowhere = os.open(os.devnull, os.O_RDWR)
    for standard in (0, 1, 2):
        os.dup2(nowhere, standard)
    limit(order["limits"])
    sys.path.extend(order["packages"])
    verdict = graded(order["source"], order["sample"], order["item"])
    os.write(answer, json.dumps({"nonce": order["nonce"], **verdict}).encode())
    os._exit(0)  # whatever the grader has registered to happen at the end does not


def limit(limits: dict[str, int]) -> None:
    """Each limit holds for good: nothing in here may raise it again."""
    for name, most in limits.items():
        resource.setrlimit(getattr(resource, f"RLIMIT_{name}"), (most, most))


def graded(source: str, sample: object, item: object) -> dict[str, Any]:
    """`{"reward": ...}`, or `{"error": ...}` in words."""
    names: dict[str, Any] = {"__name__": "grader"}
    try:
        exec(compile(source, "grader", "exec"), names)
        found = names["grade"](sample, item)
    except MemoryError:
        return {"error": "MemoryError: more memory than a grader may have"}
    except BaseException as error:
        return {"error": told(error)}
    if isinstance(found, bool) or not isinstance(found, numbers.Real) or not math.isfinite(found):
        return {"error": f"grade must return a finite float, not {type(found).__name__}"[:MOST_WORDS]}
    return {"reward": float(found)}


def told(error: BaseException) -> str:
    """The error's kind and words, and the line of the grader where it was."""
    try:
        words = "".join(traceback.format_exception_only(type(error), error)).strip()
    except BaseException:
        words = type(error).__name__
    line = last_line(error.__traceback__)
    return words[:MOST_WORDS] + (f" (line {line})" if line else "")


def last_line(trace: TracebackType | None) -> int | None:
    """The innermost line of the grader's own source."""
    found = None
    while trace is not None:
        if trace.tb_frame.f_code.co_filename == "grader":
            found = trace.tb_lineno
        trace = trace.tb_next
    return found


if __name__ == "__main__":
    main()
