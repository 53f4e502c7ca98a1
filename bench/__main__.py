"""`python -m bench NAME [--shape tiny|135m] [--quick] [--json FILE]`: one benchmark, one JSON object."""

import argparse
import json
import signal
import sys
import tempfile
from importlib import import_module
from pathlib import Path

from bench.options import options
from bench.record import Json, versions, write
from bench.shapes import SHAPES

# Each is a module with `measure(options)`; what it does is its docstring.
NAMES = ("sft", "prefix", "dpo", "grpo", "jobs", "turnaround", "serve", "data", "roofline")


def main() -> int:
    """Exit with 1 where the two sides do not do the same: then no ratio is given."""
    asked = parse(sys.argv[1:])
    signal.signal(
        signal.SIGTERM, lambda *_: sys.exit(143)
    )  # so that legs, servers and scratch space end with us
    with tempfile.TemporaryDirectory(prefix="afina-bench-") as folder:
        given = options(shape=asked.shape, quick=asked.quick, sweep=asked.sweep, folder=Path(folder))
        found: dict[str, Json] = import_module(f"bench.{asked.name}").measure(given)
    figures = {"bench": asked.name, **found, "versions": versions(given)}
    if asked.json:
        write(asked.json, figures)
    print(json.dumps({key: value for key, value in figures.items() if key != "pairs"}, indent=1))
    return 1 if figures["parity"] is False else 0


def parse(arguments: list[str]) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="bench", description=__doc__)
    parser.add_argument("name", choices=NAMES)
    parser.add_argument("--shape", choices=list(SHAPES), default="tiny")
    parser.add_argument(
        "--quick", action="store_true", help="3 timed steps a leg, 5 pairs, 15 minutes at most"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there, pairs included")
    parser.add_argument(
        "--sweep", action="store_true", help="sft: find the peer's best settings and record them"
    )
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
