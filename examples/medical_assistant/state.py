"""What the eight steps hand on to each other: `state.json` in a folder, which each step reads and extends."""

import json
import os
import sys
from argparse import ArgumentParser, RawDescriptionHelpFormatter
from collections.abc import Callable
from pathlib import Path

from openai import OpenAIError

BASE = os.environ.get("OPENAI_MODEL", "gpt-4o-mini-2024-07-18")
FOLDER = Path("medical_assistant_run")
MADE_BY = {
    "system": "1_prepare.py",
    "training_file": "4_upload.py",
    "validation_file": "4_upload.py",
    "base": "5_create.py",
    "job": "5_create.py",
    "model": "6_watch.py",
}


def parser(description: str | None) -> ArgumentParser:
    """The arguments of a step, which opens with the one that all steps share."""
    made = ArgumentParser(description=description, formatter_class=RawDescriptionHelpFormatter)
    made.add_argument("--folder", type=Path, default=FOLDER, help=f"keeps the run (default: {FOLDER})")
    return made


def run(main: Callable[[], None]) -> None:
    """A step; what stops it on the way to a file or to the server is one line."""
    try:
        main()
    except OpenAIError as error:
        sys.exit(f"{os.environ.get('OPENAI_BASE_URL') or 'OpenAI'}: {error}")
    except OSError as error:
        sys.exit(str(error))


def read(folder: Path) -> dict[str, str]:
    """What earlier steps have noted; nothing before the first."""
    path = folder / "state.json"
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}


def need(folder: Path, *names: str) -> list[str]:
    """The values of `names`; ends the step where an earlier one has not been run."""
    known = read(folder)
    if missing := [name for name in names if name not in known]:
        sys.exit(f"{folder} holds no {missing[0]} yet: run {MADE_BY[missing[0]]} first")
    return [known[name] for name in names]


def sides(folder: Path) -> list[Path]:
    """The training file and the held-out file of step 1."""
    need(folder, "system")
    return [folder / "train.jsonl", folder / "held_out.jsonl"]


def extend(folder: Path, **facts: str) -> None:
    """Note what later steps need, and forget what they made of what was there before."""
    step = max(MADE_BY[name] for name in facts)
    kept = {name: fact for name, fact in read(folder).items() if MADE_BY[name] <= step}
    text = json.dumps({**kept, **facts}, indent=2, ensure_ascii=False)
    (folder / "state.json").write_text(text + "\n", encoding="utf-8")


def say_next(folder: Path, step: str) -> None:
    """The command to go on with, as the reader would type it."""
    where = "" if folder == FOLDER else f" --folder {folder}"
    print(f"\nnext: python {Path(sys.argv[0]).with_name(step)}{where}")
