"""Our training leg: the engine and the method of the product, over a token file, paced from outside."""

import asyncio
import time
from multiprocessing.connection import Connection
from pathlib import Path

from afina.engine.engine import Engine
from afina.host.runs import adapter_spec, start_folder
from afina.schemas.fine_tuning import StepMetrics
from afina.training import dpo, sft
from afina.training.reporter import Reporter, RunStopped
from bench import references
from bench.pace import Ended, Pace
from bench.plans import plan
from bench.recipe import Task


class Paced(Reporter):
    """Writes what every run writes, and lets the parent decide when the next step is taken."""

    def __init__(self, given: Task, engine: Engine, pace: Pace) -> None:
        super().__init__(given.spec, engine)
        self.pace = pace
        self.plan = plan(given.spec)
        self.asked = references.share(given)

    async def stepped(self, metrics: StepMetrics, *, checkpoint: bool) -> None:
        """Saving is part of a step's time. The time that passes while we are held up makes no saving due."""
        await super().stepped(metrics, checkpoint=checkpoint)
        assert metrics.train_loss is not None
        now = time.perf_counter() + self.asked
        try:
            self.resume_due += self.pace.stepped(metrics.train_loss, self.plan[metrics.step - 1], now=now)
        except Ended:
            raise RunStopped from None


def train(connection: Connection, given: Task) -> None:
    """A leg that takes steps; leaves its adapter in the run's folder, under `final`."""
    asyncio.run(_train(connection, given))


async def _train(connection: Connection, given: Task) -> None:
    spec = given.spec
    Path(spec.folder).mkdir(parents=True, exist_ok=True)
    engine = await Engine.open(given.base, dtype=spec.dtype, threads=spec.threads)
    await engine.create_adapter(spec.adapter, adapter_spec(spec), start=start_folder(spec))
    pace = Pace(connection)
    reporter = Paced(given, engine, pace)
    connection.send("ready")
    try:
        pace.wait()
        await (dpo if spec.method == "dpo" else sft).train(spec, engine, reporter)
    except (Ended, RunStopped):
        await engine.save(spec.adapter, Path(spec.folder) / "final")
    reporter.close()
    await engine.close()
