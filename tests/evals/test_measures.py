"""Relevance, completeness and coherence by words alone, against examples that can be checked by hand."""

import pytest

from afina.evals.measures import cohesion, coverage, linked, term_overlap


@pytest.mark.parametrize(
    ("question", "answer", "share"),
    [
        ("What is asthma?", "Asthma makes breathing hard.", 1.0),
        ("What helps with asthma at night?", "Asthma is common.", 1 / 3),
        ("¿Qué es la migraña?", "La Migraña es un dolor de cabeza.", 1.0),
        ("¿Es grave la inflamación?", "Una inflamacion puede serlo.", 1 / 2),
        ("What is asthma?", "", 0.0),
        ("What is it?", "It is something.", None),
    ],
)
def test_term_overlap(question: str, answer: str, share: float | None):
    found = term_overlap(question, answer)
    assert found == (None if share is None else pytest.approx(share))


@pytest.mark.parametrize(
    ("reference", "answer", "share"),
    [
        ("Drink water and rest.", "Rest, and drink some water.", 1.0),
        ("Drink water and rest.", "Water.", 1 / 3),
        ("Beba agua y descanse.", "Descanse y beba mucha agua fría.", 1.0),
        ("Drink water and rest.", "", 0.0),
        ("It is so.", "It is.", None),
    ],
)
def test_coverage(reference: str, answer: str, share: float | None):
    found = coverage(reference, answer)
    assert found == (None if share is None else pytest.approx(share))


@pytest.mark.parametrize(
    ("answer", "share"),
    [
        ("Asthma narrows the airways.", 1.0),
        ("Asthma narrows the airways. Narrow airways whistle. An inhaler opens airways.", 1.0),
        ("Asthma narrows the airways. The moon is far. Airways whistle.", 1 / 2),
        ("El asma estrecha las vías. Las vías silban.", 1.0),
        ("...", 1.0),
    ],
)
def test_linked(answer: str, share: float):
    assert linked(answer) == pytest.approx(share)


def test_a_text_that_goes_round_in_circles_does_not_hang_together():
    assert cohesion("") == cohesion("...") == 0.0
    assert cohesion("Rest.") == 1.0
    circle = cohesion("drink some water " * 20)
    assert 0 < circle < 0.1 < cohesion("Drink some water. Warm water helps most.") == 1.0
