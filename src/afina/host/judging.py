"""The grader of a run: given a reply and an item, its grade. Grading models are asked as everybody asks them."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from afina.blobs import Blobs
from afina.data.strict_json import JsonObject
from afina.graders.check import parts
from afina.graders.grade import Grade, Means, grade, sample_of
from afina.graders.judges import Ask, Said
from afina.graders.sandbox import Sandbox
from afina.schemas.graders import Grader, JudgeSampling, LabelModelGrader, ScoreModelGrader
from afina.schemas.runs import RunSpec
from afina.serving.judging import asking, patient
from afina.serving.meter import Payer, payer
from afina.serving.router import Router
from afina.serving.tools import OPEN, CallReader
from afina.settings import from_environment
from afina.store.database import Database
from afina.training.rewards import Judge


@asynccontextmanager
async def judging(spec: RunSpec) -> AsyncGenerator[Judge]:
    """The judge of a run's samples, with connections to grading models where it needs some."""
    assert spec.trials is not None
    grader = spec.trials.grader
    if not asks_models(grader):
        yield judge_by(grader, nobody)
        return
    async with served(spec.project) as ask:
        yield judge_by(grader, ask)


def judge_by(grader: Grader, ask: Ask) -> Judge:
    """Grades with one sandbox, so that only a few graders run at the same time."""
    means = Means(ask, Sandbox())

    async def judge(text: str, item: JsonObject) -> Grade:
        return await grade(grader, sample(text), item, means=means)

    return judge


def sample(text: str) -> JsonObject:
    """The namespace `sample` of a reply; tool calls are read out of its text as chat reads them."""
    if OPEN not in text:
        return sample_of(text)
    reader = CallReader()
    shown = reader.feed(text) + reader.flush()
    return {**sample_of(shown), "output_tools": [call.model_dump(mode="json") for call in reader.calls]}


def asks_models(grader: Grader) -> bool:
    """Whether some part of the grader is a model's judgement."""
    return any(isinstance(part, ScoreModelGrader | LabelModelGrader) for part, _ in parts(grader, ""))


async def nobody(
    model: str, messages: list[JsonObject], *, form: JsonObject, sampling: JudgeSampling
) -> Said:
    """Stands where no model is asked."""
    raise AssertionError(model)


@asynccontextmanager
async def served(project: str) -> AsyncGenerator[Ask]:
    """Asks the models of a project by the rows and the hosts that serve its chats, this one among them."""
    payer.set(Payer(project))
    settings = from_environment()
    database = Database(settings.database)
    router = Router(database, Blobs(settings.data / "blobs"), settings)
    try:
        yield patient(asking(router, project))
    finally:
        await router.close()
        database.close()
