"""Our leg of `grpo`: the engine and the method of the product, over prompts, paced from outside."""

from collections.abc import Callable
from functools import cached_property
from pathlib import Path

from afina.data.render import Renderer
from afina.engine.engine import Engine
from afina.engine.grammar import Grammars
from afina.engine.losses import Loss
from afina.engine.types import Batch, LossReport, SamplingParams, Token
from afina.host.judging import judge_by, nobody
from afina.schemas.fine_tuning import StepMetrics
from afina.schemas.runs import RunSpec
from afina.training.rewards import Judge
from afina.training.rft import Means
from afina.training.rollouts import Speech
from bench import replies
from bench.pace import Pace
from bench.recipe import Task
from bench.replies import Reply


class Observed(Engine):
    """The engine, which shows what was said last and what its last update has reported."""

    said: list[Reply]
    report: LossReport | None = None

    async def rollouts(
        self, adapter: str | None, prompts: list[list[int]], params: list[SamplingParams]
    ) -> list[list[Token]]:
        """Remember them."""
        made = await super().rollouts(adapter, prompts, params)
        self.said = [
            Reply(prompt, [token.id for token in tokens], [token.logprob for token in tokens])
            for prompt, tokens in zip(prompts, made, strict=True)
        ]
        return made

    async def forward_backward(self, adapter: str, batch: Batch, loss: Loss) -> LossReport:
        """Remember it."""
        self.report = await super().forward_backward(adapter, batch, loss)
        return self.report


class Endless(Renderer):
    """A base's language in which one id in `ends` ends a reply, or none does."""

    def __init__(self, folder: Path, ends: int | None) -> None:
        super().__init__(folder)
        self.ends = ends

    @cached_property
    def stop_ids(self) -> frozenset[int]:
        """Ids that end an answer."""
        return frozenset(range(0, self.vocab_size, self.ends)) if self.ends else frozenset()


def means(given: Task) -> Means:
    """The language of the base, and the grader as a host grades with it."""
    renderer = Endless(given.base, given.ends)
    grammars = Grammars(
        given.base / "tokenizer.json", vocab_size=renderer.vocab_size, stop_ids=renderer.stop_ids
    )
    return Means(Speech(renderer, grammars), judge(given.spec))


def judge(spec: RunSpec) -> Judge:
    """No model is asked."""
    assert spec.trials is not None
    return judge_by(spec.trials.grader, nobody)


def telling(given: Task, engine: Observed, pace: Pace) -> Callable[[StepMetrics, float], float]:
    """What the pace is told of a step; what was said is kept, which is a part of the step's time."""

    def tell(metrics: StepMetrics, now: float) -> float:
        assert metrics.timing is not None and engine.report is not None
        replies.keep(given, engine.said)
        return pace.stepped(
            engine.report.mean,
            replies.tokens_of(engine.said),
            now=now,
            sampling=metrics.timing.step.sampling,
        )

    return tell
