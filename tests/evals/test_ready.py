"""Ready graders are graders, and say what they are for."""

import pytest
from pydantic import TypeAdapter

from afina.evals.criteria import threshold
from afina.evals.ready import CALLS, criteria
from afina.graders import check, sandbox
from afina.schemas.evals import Criterion

CRITERION: TypeAdapter[Criterion] = TypeAdapter(Criterion)
ITEM = {"question": "What is asthma?", "reference": "Asthma narrows the airways."}
GOOD = "Asthma narrows the airways. Narrow airways whistle."


@pytest.mark.parametrize("judge", [None, "afina-tiny"])
@pytest.mark.parametrize("language", ["en", "es"])
def test_they_are_testing_criteria(judge: str | None, language):
    found = [CRITERION.validate_python(each) for each in criteria(judge=judge, language=language)]
    assert [each.name for each in found] == list(CALLS) == ["relevance", "completeness", "coherence"]
    for each in found:
        check.check(each)
        assert 0 < threshold(each) < 5
        told = check.first_absent(each, {"question": "q"})
        assert told == ("item.reference" if judge and each.name == "completeness" else None)


def test_a_model_is_told_in_its_language():
    english, spanish = (str(criteria(judge="m", language=each)[0]["input"]) for each in ("en", "es"))
    assert "You judge answers" in english and "Question:" in english
    assert "Usted evalúa respuestas" in spanish and "Pregunta:" in spanish


@pytest.mark.parametrize(
    ("item", "answer", "grades"),
    [
        (ITEM, GOOD, [1.0, 1.0, 1.0]),
        (ITEM, "", [0.0, 0.0, 0.0]),
        (ITEM, "Asthma.", [1.0, 1 / 3, 1.0]),
        ({"question": "What is it?", "reference": "So."}, "Rest.", [1.0, 1.0, 1.0]),
    ],
)
def test_words_are_graded_as_in_this_process(item: dict, answer: str, grades: list[float]):
    for criterion, value in zip(criteria(), grades, strict=True):
        names: dict = {}
        exec(str(criterion["source"]), names)
        assert names["grade"]({"output_text": answer}, item) == pytest.approx(value)


@pytest.mark.skipif(sandbox.missing() is not None, reason="no boundary here for python graders")
async def test_words_are_graded_behind_the_boundary():
    room = sandbox.Sandbox()
    for criterion in criteria():
        source = str(criterion["source"])
        assert await room.grade(source, {"output_text": GOOD}, dict(ITEM)) == 1.0
