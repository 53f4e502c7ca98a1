"""Answers graded by a model through the server: three qualities of each."""

import asyncio
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import httpx

from afina.cli.comparison_data import Trial
from afina.evals.compare import Case, Grades, Reply
from afina.evals.ready import CALLS, JsonObject, Quality, by_model
from afina.schemas.graders import GraderRun

if TYPE_CHECKING:
    from openai import AsyncOpenAI

IN_FLIGHT = 8


async def judged(
    client: "AsyncOpenAI",
    judge: str | None,
    trial: Trial,
    replies: Sequence[Reply],
    *,
    done: Callable[[int], None],
) -> Grades:
    """A grade from 1 to 5 of each quality of each reply; None where the model could not say; nothing without one."""
    if judge is None:
        return {}
    graders = {quality: by_model(quality, judge, language=trial.language) for quality in CALLS}
    places = asyncio.Semaphore(IN_FLIGHT)

    async def one(case: Case, reply: Reply) -> list[float | None]:
        async with places:
            found = [await grade(client, grader, case, reply.text) for grader in graders.values()]
        done(1)
        return found

    pairs = zip(trial.cases, replies, strict=True)
    grades = await asyncio.gather(*(one(*pair) for pair in pairs))
    by_quality: dict[Quality, tuple[float | None, ...]] = {
        quality: tuple(found[place] for found in grades) for place, quality in enumerate(CALLS)
    }
    return by_quality


async def grade(client: "AsyncOpenAI", grader: JsonObject, case: Case, answer: str) -> float | None:
    """What one grader says of one answer."""
    item = {"question": case.question, "reference": case.reference}
    body = {"grader": grader, "model_sample": answer, "item": item}
    reply = await client.post("/fine_tuning/alpha/graders/run", body=body, cast_to=httpx.Response)
    run = GraderRun.model_validate_json(reply.content)
    return None if run.afina.reason else run.reward
