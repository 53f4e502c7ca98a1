"""`python -m bench.trl_script TASK.json`: what somebody with TRL runs for each job, until its adapter is saved.

It is given token ids, so that it need not tokenise, and the base model from a local folder.
"""

import json
import sys
from dataclasses import dataclass, field
from pathlib import Path

import torch

from afina.schemas.runs import RunSpec
from bench.legs import peak_bytes
from bench.pace import Tokens
from bench.recipe import Task
from bench.trl_run import Trainer


@dataclass
class Losses:
    """Of every step, in order."""

    values: list[float] = field(default_factory=list[float])

    def stepped(self, loss: float, tokens: Tokens, *, now: float) -> None:
        """A step has ended."""
        self.values.append(loss)


def main() -> None:
    """Leaves `final` and `result.json` in the run's folder."""
    given = json.loads(Path(sys.argv[1]).read_bytes())
    task = Task(RunSpec.model_validate(given["spec"]), Path(given["base"]))
    torch.set_num_threads(task.spec.threads)
    losses = Losses()
    trainer = Trainer(task, losses)
    trainer.train()
    folder = Path(task.spec.folder)
    trainer.save_model(str(folder / "final"))
    (folder / "result.json").write_text(json.dumps({"losses": losses.values, "peak": peak_bytes()}))


if __name__ == "__main__":
    main()
