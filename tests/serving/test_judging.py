"""Grading models in work that nobody waits for: a few questions at a time, and again where one is away."""

import asyncio

import pytest

from afina.errors import NotFound, Unavailable
from afina.graders.judges import Ask, Said
from afina.schemas.graders import GraderTokens, JudgeSampling
from afina.serving import judging


def judge(*errors: Exception) -> tuple[Ask, list[int]]:
    """Says yes once its errors are used up, and how many were asking at each question."""
    left, asking, seen = [*errors], set[object](), list[int]()

    async def ask(model, messages, *, form, sampling) -> Said:
        question = object()
        asking.add(question)
        seen.append(len(asking))
        try:
            await asyncio.sleep(0)
            if left:
                raise left.pop()
        finally:
            asking.remove(question)
        return Said("yes", model, GraderTokens())

    return judging.patient(ask), seen


async def said(ask: Ask) -> str:
    return (await ask("m", [], form={}, sampling=JudgeSampling())).text


async def test_only_a_few_are_asked_at_a_time(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(judging, "AT_ONCE", 3)
    ask, seen = judge()
    assert await asyncio.gather(*(said(ask) for _ in range(20))) == ["yes"] * 20
    assert max(seen) == 3


async def test_who_is_away_for_now_is_asked_three_times():
    ask, seen = judge(*(Unavailable("loading", retry_after=0) for _ in range(2)))
    assert await said(ask) == "yes" and len(seen) == 3
    ask, seen = judge(*(Unavailable("loading", retry_after=0) for _ in range(3)))
    with pytest.raises(Unavailable):
        await said(ask)
    assert len(seen) == 3


async def test_who_is_not_there_is_asked_once():
    ask, seen = judge(NotFound("no such model"))
    with pytest.raises(NotFound):
        await said(ask)
    assert len(seen) == 1
