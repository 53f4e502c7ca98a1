"""The judge of a run: what it sees of a reply, and that grading models are asked only where there are some."""

import asyncio

import pytest
from pydantic import TypeAdapter

from afina.graders.judges import Said
from afina.graders.sandbox import missing
from afina.host.judging import asks_models, judge_by, nobody, sample, served
from afina.schemas.graders import Grader, GraderTokens
from afina.serving.meter import Payer, payer

GRADERS: TypeAdapter[Grader] = TypeAdapter(Grader)
CHECK = {
    "type": "string_check",
    "name": "s",
    "input": "{{sample.output_text}}",
    "reference": "{{item.want}}",
    "operation": "eq",
}
SCORE = {
    "type": "score_model",
    "name": "j",
    "model": "judge",
    "input": [{"role": "user", "content": "{{sample.output_text}} for {{item.want}}"}],
}


@pytest.mark.parametrize(
    ("grader", "found"),
    [
        (CHECK, False),
        (SCORE, True),
        ({"type": "multi", "graders": {"a": CHECK}, "calculate_output": "a"}, False),
        ({"type": "multi", "graders": {"a": CHECK, "b": SCORE}, "calculate_output": "a + b"}, True),
    ],
)
def test_who_asks_models(grader, found):
    assert asks_models(GRADERS.validate_python(grader)) is found


async def test_a_reply_is_graded_by_its_item():
    judge = judge_by(GRADERS.validate_python(CHECK), nobody)
    assert (await judge("yes", {"want": "yes"})).reward == 1
    assert (await judge("no", {"want": "yes"})).reward == 0


async def test_a_model_grades_what_it_is_shown():
    asked = []

    async def ask(model, messages, *, form, sampling):
        asked.append((model, messages[0]["content"]))
        return Said('{"steps": [], "result": 0.25}', model, GraderTokens(prompt_tokens=5))

    found = await judge_by(GRADERS.validate_python(SCORE), ask)("yes", {"want": "no"})
    assert (found.reward, found.said[0].tokens.prompt_tokens) == (0.25, 5)
    assert asked == [("judge", "yes for no")]


async def test_what_grading_models_read_is_counted_for_the_project(monkeypatch, tmp_path):
    monkeypatch.setenv("AFINA_DATA", str(tmp_path))
    async with served("proj_a"):
        assert payer.get() == Payer("proj_a")


def test_calls_are_read_out_of_the_text():
    found = sample('Well. <tool_call>\n{"name": "sum", "arguments": {"a": 1}}\n</tool_call>')
    assert found["output_text"] == "Well."
    assert [call["function"]["name"] for call in found["output_tools"]] == ["sum"]
    assert sample("plain")["output_tools"] == []


@pytest.mark.skipif(missing() is not None, reason="no boundary can be put around a python grader here")
async def test_python_grades_behind_its_boundary():
    source = "def grade(sample, item):\n    return len(sample['output_text']) / item['n']"
    judge = judge_by(GRADERS.validate_python({"type": "python", "name": "p", "source": source}), nobody)
    found = await asyncio.gather(*(judge("a" * n, {"n": 4}) for n in range(6)))
    assert [one.reward for one in found] == [n / 4 for n in range(6)]
    assert (await judge("a", {"n": 0})).errors.python_grader_runtime_error
