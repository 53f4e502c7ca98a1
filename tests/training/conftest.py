"""Token files, specs, and what a run leaves behind."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

import tiny_base
from afina.data import tokens
from afina.data.render import Rendered, Renderer
from afina.data.tokens import TokenFile
from afina.engine.engine import Engine
from afina.engine.fake import FakeEngine
from afina.engine.grammar import Grammars
from afina.host.runs import Runs, adapter_spec
from afina.schemas.fine_tuning import StepMetrics
from afina.schemas.runs import LoraSpec, RunEvent, RunSpec, Stepped, run_event
from afina.training import resume_points
from afina.training.reporter import Reporter, RunStopped
from afina.training.rollouts import Speech

NewSpec = Callable[..., RunSpec]
NewTokens = Callable[..., TokenFile]


@pytest.fixture(scope="session")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_base.make(tmp_path_factory.mktemp("base"))


@pytest.fixture
def new_tokens(tmp_path: Path) -> NewTokens:
    """A token file of `rows` rows; row i begins with the id i, and its last three ids are supervised."""

    def make(rows: int, *, name: str = "training") -> TokenFile:
        written = [
            [Rendered([i, 40 + i % 7, 20 + i % 5, 30 + i % 3, 2], [0, 0, 1, 1, 1])] for i in range(rows)
        ]
        tokens.write(tmp_path / f"{name}.safetensors", written, max_length=64)
        return TokenFile.open(tmp_path / f"{name}.safetensors")

    return make


@pytest.fixture
def new_spec(tmp_path: Path, new_tokens: NewTokens) -> NewSpec:
    """The spec of a run over seven rows, two epochs of four steps unless told otherwise."""

    def make(fence: int = 1, **fields: object) -> RunSpec:
        folder = tmp_path / "runs" / str(fence)
        folder.mkdir(parents=True, exist_ok=True)
        new_tokens(7)
        spec = RunSpec(
            job="ftjob-a",
            fence=fence,
            folder=str(folder),
            method="supervised",
            base="tiny",
            training_tokens=str(tmp_path / "training.safetensors"),
            validation_tokens=None,
            start=None,
            resume=None,
            seed=5,
            n_epochs=2,
            batch_size=2,
            learning_rate=0.01,
            warmup_steps=2,
            weight_decay=0.0,
            max_grad_norm=1.0,
            lora=LoraSpec(rank=2, alpha=4.0),
            token_budget=256,
            validate_every=2,
            dtype="float32",
            threads=1,
        )
        return RunSpec.model_validate(spec.model_dump() | fields)

    return make


@dataclass
class Runner:
    """Runs the method as a host does."""

    engine: Engine | FakeEngine
    speech: Speech

    async def __call__(self, spec: RunSpec, *, stop_behind: int | None = None) -> None:
        """From its beginning or resume point to its end, or to the step behind which it is told to stop."""
        start = spec.resume or spec.start
        await self.engine.create_adapter(
            spec.adapter, adapter_spec(spec), start=Path(start) if start else None
        )
        step = resume_points.read_seal(Path(spec.resume)).step if spec.resume else 0
        reporter = Stopping(spec, self.engine, step=step, stop_behind=stop_behind)
        try:
            await Runs(self.engine, self.speech).method(spec, reporter)
        except RunStopped:
            pass
        finally:
            reporter.close()
            await self.engine.drop(spec.adapter)


class Stopping(Reporter):
    """Is told to stop while a certain step is being taken."""

    def __init__(self, spec: RunSpec, engine: Engine | FakeEngine, *, step: int, stop_behind: int | None):
        super().__init__(spec, engine, step=step)
        self.stop_behind = stop_behind

    async def stepped(self, metrics: StepMetrics, *, checkpoint: bool) -> None:
        self.stopping = metrics.step == self.stop_behind
        await super().stepped(metrics, checkpoint=checkpoint)


@pytest.fixture(scope="session")
def speech(base: Path) -> Speech:
    renderer = Renderer(base)
    grammars = Grammars(base / "tokenizer.json", vocab_size=tiny_base.VOCABULARY, stop_ids=renderer.stop_ids)
    return Speech(renderer, grammars)


@pytest.fixture
def run(speech: Speech) -> Runner:
    return Runner(FakeEngine(), speech)


@pytest.fixture
def run_alone(speech: Speech, base: Path) -> Callable[..., Awaitable[None]]:
    """Runs the method on an engine that nobody had before: another process, as far as the numbers can tell."""

    async def make(spec: RunSpec, *, stop_behind: int | None = None) -> None:
        engine = await Engine.open(base, threads=1)
        try:
            await Runner(engine, speech)(spec, stop_behind=stop_behind)
        finally:
            await engine.close()

    return make


@pytest.fixture(params=[LoraSpec(rank=2, alpha=4.0), None], ids=["adapter", "all weights"])
def lora(request: pytest.FixtureRequest) -> LoraSpec | None:
    """Both that can be trained."""
    return request.param


@pytest.fixture
def read() -> Callable[[RunSpec], list[RunEvent]]:
    """The events of a run."""

    def read_events(spec: RunSpec) -> list[RunEvent]:
        lines = (Path(spec.folder) / "events.jsonl").read_bytes().splitlines()
        return [run_event.validate_json(line) for line in lines]

    return read_events


@pytest.fixture
def figures(read: Callable[[RunSpec], list[RunEvent]]) -> Callable[..., list[StepMetrics]]:
    """The figures of all steps of some runs, in the order in which they were taken."""

    def collect(*specs: RunSpec) -> list[StepMetrics]:
        found: Sequence[RunEvent] = [event for spec in specs for event in read(spec)]
        return [event.metrics for event in found if isinstance(event, Stepped)]

    return collect
