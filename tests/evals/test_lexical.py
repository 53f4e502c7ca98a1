"""Measures of one answer against examples that can be checked by hand."""

import pytest

from afina.evals.lexical import rouge_l, stated


@pytest.mark.parametrize(
    ("reference", "answer", "value"),
    [
        ("the cat sat on the mat", "the cat sat on the mat", 1.0),
        ("the cat sat", "dogs bark", 0.0),
        # The longest common subsequence is "the on the mat": 4 of 6 and 4 of 5 words.
        ("the cat sat on the mat", "the dog on the mat", 8 / 11),
        ("Rest, drink water.", "rest DRINK water", 1.0),
        ("something", "", 0.0),
    ],
)
def test_rouge_l(reference: str, answer: str, value: float):
    assert rouge_l(reference, answer) == pytest.approx(value)


def test_rouge_l_sees_words_with_accents_whole():
    # Cut at its accent, "corazón" would share two of three pieces with "coraz n".
    assert rouge_l("corazón", "coraz n") == 0.0
    assert rouge_l("El corazón está sano", "el CORAZÓN está enfermo") == pytest.approx(0.75)


def test_rouge_l_does_not_stem():
    assert rouge_l("running", "runs") == 0.0


HEADINGS = ("In short:", "What to do:", "Get care:")


@pytest.mark.parametrize(
    ("answer", "whole"),
    [
        ("In short: a cold.\nWhat to do: rest.\nGet care: with fever.", True),
        ("Well. In short: a cold. What to do: rest. Get care: now", True),
        ("In short: a cold.\nGet care: with fever.\nWhat to do: rest.", False),
        ("In short: a cold.\nWhat to do: rest.", False),
        ("In short: \nWhat to do: rest.\nGet care: with fever.", False),
        ("In short: a cold.\nWhat to do: rest.\nGet care: ...", False),
        ("", False),
    ],
)
def test_all_parts_are_stated_in_order_each_with_words(answer: str, whole: bool):
    assert stated(answer, HEADINGS) is whole


def test_no_headings_ask_for_nothing():
    assert stated("anything", ())
