"""Our training leg: the engine and the method of the product, over a token file, paced from outside."""

import asyncio
import time
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path

from afina.engine.engine import Engine
from afina.host.runs import adapter_spec, start_folder
from afina.processes import settle
from afina.schemas.fine_tuning import StepMetrics
from afina.training import dpo, rft, sft
from afina.training.reporter import Reporter, RunStopped
from bench import references, trying
from bench.pace import Ended, Pace
from bench.plans import plan
from bench.recipe import Task
from bench.trying import Observed

Tell = Callable[[StepMetrics, float], float]  # a step that ended at this time; how long it held us up


class Paced(Reporter):
    """Writes what every run writes, and lets the parent decide when the next step is taken."""

    def __init__(self, given: Task, engine: Engine, tell: Tell) -> None:
        super().__init__(given.spec, engine)
        self.tell = tell

    async def stepped(self, metrics: StepMetrics, *, checkpoint: bool) -> None:
        """Saving is part of a step's time. The time that passes while we are held up makes no saving due."""
        await super().stepped(metrics, checkpoint=checkpoint)
        try:
            self.resume_due += self.tell(metrics, time.perf_counter())
        except Ended:
            raise RunStopped from None


def train(connection: Connection, given: Task) -> None:
    """A leg that takes steps; leaves its adapter in the run's folder, under `final`."""
    asyncio.run(_train(connection, given))


async def _train(connection: Connection, given: Task) -> None:
    spec = given.spec
    Path(spec.folder).mkdir(parents=True, exist_ok=True)
    engine = await Observed.open(given.base, dtype=spec.dtype, threads=spec.threads)
    settle()  # as hosts do
    assert isinstance(engine, Observed)
    await engine.create_adapter(spec.adapter, adapter_spec(spec), start=start_folder(spec))
    pace = Pace(connection)
    tries = spec.method == "reinforcement"
    reporter = Paced(given, engine, (trying.telling if tries else telling)(given, engine, pace))
    connection.send("ready")
    try:
        pace.wait()
        await method(given, engine, reporter)
    except (Ended, RunStopped):
        await engine.save(spec.adapter, Path(spec.folder) / "final")
    reporter.close()
    await engine.close()


async def method(given: Task, engine: Engine, reporter: Reporter) -> None:
    """All steps of the run's method."""
    match given.spec.method:
        case "supervised":
            await sft.train(given.spec, engine, reporter)
        case "dpo":
            await dpo.train(given.spec, engine, reporter)
        case "reinforcement":
            await rft.train(given.spec, engine, reporter, trying.means(given))


def telling(given: Task, engine: Engine, pace: Pace) -> Tell:
    """What the pace is told of a step whose rows are known in advance."""
    known, asked = plan(given.spec), references.share(given)

    def tell(metrics: StepMetrics, now: float) -> float:
        assert metrics.train_loss is not None
        return pace.stepped(metrics.train_loss, known[metrics.step - 1], now=now + asked)

    return tell
