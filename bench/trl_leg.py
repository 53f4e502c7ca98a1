"""TRL as a leg, paced from outside as ours is."""

from multiprocessing.connection import Connection
from pathlib import Path

import torch

from bench.pace import Ended, Pace
from bench.recipe import Task
from bench.trl_preferences import PreferenceTrainer
from bench.trl_run import Trainer
from bench.trl_trials import TrialTrainer

TRAINERS = {"supervised": Trainer, "dpo": PreferenceTrainer, "reinforcement": TrialTrainer}


def train(connection: Connection, given: Task) -> None:
    """A leg that takes steps; leaves its adapter in the run's folder, under `final`."""
    torch.set_num_threads(given.spec.threads)
    Path(given.spec.folder).mkdir(parents=True, exist_ok=True)
    pace = Pace(connection)
    trainer = TRAINERS[given.spec.method](given, pace)
    connection.send("ready")
    try:
        pace.wait()
        trainer.train()
    except Ended:
        trainer.save_model(str(Path(given.spec.folder) / "final"))
