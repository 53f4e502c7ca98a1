"""What a figure is worth nothing without: versions, machine, revision; and the JSON that holds both."""

import json
import os
import platform
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TypeAlias

from bench.legs import ENVIRONMENT
from bench.options import Options
from bench.statistics import Comparison

Json: TypeAlias = "bool | int | float | str | Sequence[Json] | Mapping[str, Json] | None"

PACKAGES = ("torch", "transformers", "tokenizers", "trl", "peft", "accelerate", "datasets", "numpy")
ROOT = Path(__file__).parent.parent


def versions(options: Options) -> dict[str, Json]:
    """Of packages, machine and source."""
    return {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "revision": revision(),
        "python": platform.python_version(),
        "packages": {name: installed(name) for name in PACKAGES},
        "machine": {
            "system": platform.platform(),
            "processor": processor(),
            "cores": os.cpu_count(),
            "memory_bytes": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
            "load_at_end": os.getloadavg()[0],
        },
        "threads": options.threads,
        "environment": ENVIRONMENT,
        "shape": options.shape.name,
        "quick": options.quick,
    }


def installed(package: str) -> str | None:
    """Its version; None where it is not there."""
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def revision() -> str:
    """The commit, and whether the tree was changed since; empty outside a repository."""
    command = ["git", "describe", "--always", "--dirty", "--abbrev=12", "--exclude=*"]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False).stdout.strip()


def processor() -> str:
    """What the kernel calls it."""
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "")


def described(comparison: Comparison) -> dict[str, Json]:
    """A comparison in full: spreads, and each pair as it was measured."""
    return {
        "ratio": asdict(comparison.ratio),
        "seconds_ours": asdict(comparison.ours),
        "seconds_peer": asdict(comparison.peer),
        "noisy": comparison.noisy,
        "pairs": [asdict(pair) | {"ratio": pair.ratio, "noisy": pair.noisy} for pair in comparison.pairs],
    }


def write(path: Path, figures: Mapping[str, Json]) -> None:
    """One JSON object."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(figures, indent=1) + "\n")
