"""TRL's side of a job that ran on a server: the same spec, first adapter and rows, in a process of its own."""

import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import afina.base
from afina.engine.types import AdapterSpec
from afina.schemas.runs import RunSpec
from bench import checkpoint
from bench.checkpoint import NewAdapter
from bench.legs import ENVIRONMENT
from bench.parity import LOSS, STEPS, gap


@dataclass(frozen=True)
class Script:
    """One job's task file, and the folder in which its script works."""

    task: Path
    folder: Path

    def run(self) -> None:
        """From its imports to the saved adapter."""
        environment = {**os.environ, **ENVIRONMENT, "OMP_NUM_THREADS": str(os.cpu_count() or 1)}
        command = [sys.executable, "-m", "bench.trl_script", str(self.task)]
        subprocess.run(command, env=environment, check=True, stdout=subprocess.DEVNULL)

    @property
    def losses(self) -> list[float]:
        """Of every step of its last run."""
        return json.loads((self.folder / "result.json").read_bytes())["losses"]

    @property
    def peak(self) -> int:
        """Resident memory of its last run."""
        return json.loads((self.folder / "result.json").read_bytes())["peak"]


def script(spec: RunSpec, folder: Path) -> Script:
    """Keep all that a job was made of: its rows and first adapter as the engine drew it."""
    folder.mkdir(parents=True)
    shutil.copy(spec.training_tokens, folder / "tokens.safetensors")
    shape = AdapterSpec(rank=spec.lora.rank, alpha=spec.lora.alpha, seed=spec.seed)
    start = checkpoint.adapter(NewAdapter(afina.base.path(), folder / "start", shape))
    kept = {"folder": str(folder), "training_tokens": str(folder / "tokens.safetensors"), "start": str(start)}
    task = {"spec": spec.model_dump() | kept, "base": str(afina.base.path())}
    (folder / "task.json").write_text(json.dumps(task))
    return Script(folder / "task.json", folder)


def worst_gap(ours: list[float], theirs: list[float], *, steps: int | None = STEPS) -> float:
    """The largest relative difference of the first steps' losses."""
    assert len(ours) == len(theirs), "both sides take the same steps"
    return max(gap(a, b) for a, b in zip(ours[:steps], theirs[:steps], strict=True))


def equal(ours: list[float], theirs: list[float]) -> bool:
    """Whether a job on the server and a script with TRL did the same mathematics."""
    return worst_gap(ours, theirs) <= LOSS
