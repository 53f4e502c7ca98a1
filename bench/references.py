"""What the base says of every pair of a run, found once before anything is timed; both sides may read it.

The run's own adapter does not begin as the base, so that no margin is zero at first.
"""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bench.legs import apart
from bench.recipe import Task

EPOCHS = 3  # of a job, where nobody says anything: ours asks once for all of them
FILE = "reference-training.npy"  # as a run looks for it in the folders beside its own


def prepare(task: Task) -> float:
    """Write them beside the folders of the run's legs; the seconds a pair took."""
    return apart("bench.asking:write", task, float)


def read(task: Task) -> NDArray[np.float64]:
    """[pairs, 2] of (chosen, rejected), for a leg."""
    return np.load(Path(task.spec.folder).parent / "references" / FILE)


def share(task: Task) -> float:
    """Seconds of asking that belong to each step of ours; none where the peer is spared it, or nobody is asked."""
    if task.spec.method != "dpo" or task.variant.references:
        return 0.0
    each = float((Path(task.spec.folder).parent / "references" / "seconds").read_text())
    return each * task.spec.batch_size / EPOCHS
