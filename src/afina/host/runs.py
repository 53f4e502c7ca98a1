"""The runs of one host: each is a task over the shared engine, and ends with a last word in its run folder."""

import asyncio
import logging
from pathlib import Path

from afina.engine.engine import Engine
from afina.engine.types import AdapterSpec
from afina.errors import AfinaError, InvalidRequest
from afina.schemas.runs import Failed, RunSpec
from afina.training import resume_points, sft
from afina.training.reporter import Reporter, RunStopped

log = logging.getLogger(__name__)

METHODS = {"supervised": sft.train}


class Runs:
    """Starts and stops runs; several share the engine by taking turns."""

    def __init__(self, engine: Engine):
        self.engine = engine
        self.reporters: dict[str, Reporter] = {}
        self.tasks: dict[str, asyncio.Task[None]] = {}

    def start(self, path: Path) -> None:
        """Start the run that the spec in `path` describes; a job that runs already is refused."""
        spec = RunSpec.model_validate_json(path.read_bytes())
        if spec.job in self.tasks:
            raise InvalidRequest(f"{spec.job} is running here already", param="spec")
        self.reporters[spec.job] = Reporter(spec, self.engine, step=steps_done(spec))
        self.tasks[spec.job] = task = asyncio.create_task(self.execute(spec))
        task.add_done_callback(lambda _: self.forget(spec.job))

    def forget(self, job: str) -> None:
        """The run has said its last word."""
        self.reporters.pop(job).close()
        del self.tasks[job]

    def stop(self, job: str) -> None:
        """Ask a run to stop after its next step; one that is not here has stopped."""
        if job in self.reporters:
            self.reporters[job].stopping = True

    async def close(self) -> None:
        """Stop all runs, each behind a resume point."""
        for job in list(self.tasks):
            self.stop(job)
        await asyncio.gather(*self.tasks.values())

    async def execute(self, spec: RunSpec) -> None:
        """Run the method from its resume point; whatever goes wrong stays in this run."""
        reporter = self.reporters[spec.job]
        log.info("run starts job=%s fence=%d step=%d", spec.job, spec.fence, reporter.step)
        try:
            await self.engine.create_adapter(spec.adapter, adapter_spec(spec), start=start_folder(spec))
            await METHODS[spec.method](spec, self.engine, reporter)
        except RunStopped:
            log.info("run stopped job=%s step=%d", spec.job, reporter.step)
        except AfinaError as error:
            log.warning("run failed job=%s code=%s", spec.job, error.code)
            reporter.emit(Failed(code=error.code or "server_error", message=error.message))
        except Exception as error:  # the edge of a run: the others on this engine must not notice
            log.exception("run broke job=%s", spec.job)
            reporter.emit(Failed(code="server_error", message=internal_error(error)))
        finally:
            if spec.adapter in self.engine.adapters:
                await self.engine.drop(spec.adapter)


def internal_error(error: Exception) -> str:
    """What a user may know of an error that nobody expected: not its text, which may hold data."""
    return f"The run ended with an internal error ({type(error).__name__}); the host's log has the traceback."


def adapter_spec(spec: RunSpec) -> AdapterSpec:
    """The engine's view of the adapter that a run trains."""
    return AdapterSpec(rank=spec.lora.rank, alpha=spec.lora.alpha, seed=spec.seed)


def start_folder(spec: RunSpec) -> Path | None:
    """Where the adapter's first values come from: a resume point, else the model that the job continues."""
    folder = spec.resume or spec.start
    return Path(folder) if folder else None


def steps_done(spec: RunSpec) -> int:
    """By the runs before this one."""
    if not spec.resume:
        return 0
    point = resume_points.verified(Path(spec.resume))
    if point is None:
        raise InvalidRequest("the resume point is damaged", param="spec")
    return point.step
