"""The runs of one host: each is a task over the shared engine, and ends with a last word in its run folder."""

import asyncio
import logging
from pathlib import Path

from afina.engine.engine import Engine
from afina.engine.types import AdapterSpec, FullSpec
from afina.errors import AfinaError, InvalidRequest, Unavailable
from afina.host.judging import judging
from afina.schemas.runs import Failed, RunSpec
from afina.training import dpo, resume_points, rft, sft
from afina.training.reporter import Reporter, RunStopped
from afina.training.rft import Means
from afina.training.rollouts import Speech

log = logging.getLogger(__name__)


class Runs:
    """Starts and stops runs by their names; several share the engine by taking turns.

    A run that ends without a last word was not at fault: the disk was full, or the engine is gone. It is no longer
    listed, so that its worker takes it up again.
    """

    def __init__(self, engine: Engine, speech: Speech):
        self.engine = engine
        self.speech = speech
        self.reporters: dict[str, Reporter] = {}
        self.tasks: dict[str, asyncio.Task[None]] = {}

    def start(self, path: Path) -> None:
        """Start the run that the spec in `path` describes; one that is here already goes on undisturbed."""
        spec = RunSpec.model_validate_json(path.read_bytes())
        if spec.name in self.tasks:
            return
        self.reporters[spec.name] = Reporter(spec, self.engine, step=steps_done(spec))
        self.tasks[spec.name] = task = asyncio.create_task(self.execute(spec))
        task.add_done_callback(lambda _: self.forget(spec.name))

    def forget(self, run: str) -> None:
        """The run has said its last word."""
        del self.tasks[run]
        self.reporters.pop(run).close()

    def stop(self, run: str) -> None:
        """Ask a run to stop after its next step; one that is not here has stopped."""
        if run in self.reporters:
            self.reporters[run].stopping = True

    async def close(self) -> None:
        """Stop all runs, each behind a resume point."""
        for run in self.tasks:
            self.stop(run)
        await asyncio.gather(*self.tasks.values())

    async def method(self, spec: RunSpec, reporter: Reporter) -> None:
        """All steps of the run's method."""
        match spec.method:
            case "supervised":
                await sft.train(spec, self.engine, reporter)
            case "dpo":
                await dpo.train(spec, self.engine, reporter)
            case "reinforcement":
                async with judging(spec) as judge:
                    await rft.train(spec, self.engine, reporter, Means(self.speech, judge))

    async def execute(self, spec: RunSpec) -> None:
        """Run the method from its resume point; whatever goes wrong stays in this run."""
        reporter = self.reporters[spec.name]
        log.info("run starts run=%s step=%d", spec.name, reporter.step)
        try:
            await self.take_steps(spec, reporter)
        except (OSError, Unavailable):
            log.exception("run lost run=%s step=%d", spec.name, reporter.step)

    async def take_steps(self, spec: RunSpec, reporter: Reporter) -> None:
        """The method, and its last word where it broke; OSError or Unavailable where there is none."""
        try:
            await self.engine.create_adapter(spec.adapter, adapter_spec(spec), start=start_folder(spec))
            await self.method(spec, reporter)
        except RunStopped:
            log.info("run stopped run=%s step=%d", spec.name, reporter.step)
        except (OSError, Unavailable):
            raise
        except AfinaError as error:
            log.warning("run failed run=%s code=%s", spec.name, error.code)
            reporter.emit(Failed(code=error.code or "server_error", message=error.message))
        except Exception as error:  # the edge of a run: the others on this engine must not notice
            log.exception("run broke run=%s", spec.name)
            reporter.emit(Failed(code="server_error", message=internal_error(error)))
        finally:
            if spec.adapter in self.engine.adapters:
                await self.engine.drop(spec.adapter)


def internal_error(error: Exception) -> str:
    """What a user may know of an error that nobody expected: not its text, which may hold data."""
    return f"The run ended with an internal error ({type(error).__name__}); the host's log has the traceback."


def adapter_spec(spec: RunSpec) -> AdapterSpec | FullSpec:
    """The engine's view of what a run trains."""
    lora = spec.lora
    if lora is None:
        return FullSpec(spec.seed)
    return AdapterSpec(lora.rank, lora.alpha, lora.rslora, lora.targets, seed=spec.seed)


def start_folder(spec: RunSpec) -> Path | None:
    """Where the adapter's first values come from: a resume point, else the model that the job continues."""
    folder = spec.resume or spec.start
    return Path(folder) if folder else None


def steps_done(spec: RunSpec) -> int:
    """By the runs before this one; its worker has just read the resume point through."""
    if not spec.resume:
        return 0
    try:
        return resume_points.read_seal(Path(spec.resume)).step
    except (OSError, ValueError) as error:
        raise InvalidRequest("The resume point is damaged.", param="spec") from error
