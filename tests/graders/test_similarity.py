"""Text metrics equal the libraries that they are taken from, and say so where one cannot be had."""

import random

import nltk.data
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from nltk.tokenize import NLTKWordTokenizer
from nltk.translate.gleu_score import sentence_gleu
from nltk.translate.meteor_score import meteor_score
from rapidfuzz import fuzz
from rouge_score.rouge_scorer import RougeScorer
from sacrebleu.metrics.bleu import BLEU

from afina.errors import InvalidRequest
from afina.graders import similarity, strings
from afina.graders.errors import GradingFailed
from afina.schemas.graders import Metric

TEXT = "the a fever and cough dose daily patient sí dolor tres días, not 5 mg. no aspirin ¿qué? it's high"
WORDS = TEXT.split(" ")
ROUGE: dict[Metric, str] = {
    "rouge_1": "rouge1",
    "rouge_2": "rouge2",
    "rouge_3": "rouge3",
    "rouge_4": "rouge4",
    "rouge_5": "rouge5",
    "rouge_l": "rougeL",
}
pairs = st.tuples(
    st.lists(st.sampled_from(WORDS), max_size=16).map(" ".join),
    st.lists(st.sampled_from(WORDS), max_size=16).map(" ".join),
)
two_hundred = settings(max_examples=200, deadline=None)
bleu = BLEU(effective_order=True)


@two_hundred
@given(pairs | st.tuples(st.text(), st.text()))
def test_fuzzy_match_is_rapidfuzz(pair: tuple[str, str]):
    assert similarity.similarity("fuzzy_match", *pair) == fuzz.ratio(*pair) / 100


@two_hundred
@given(pairs)
def test_bleu_is_sacrebleu(pair: tuple[str, str]):
    text, reference = pair
    assert (
        similarity.similarity("bleu", text, reference) == bleu.sentence_score(text, [reference]).score / 100
    )


@two_hundred
@given(pairs)
def test_gleu_is_nltk(pair: tuple[str, str]):
    text, reference = (NLTKWordTokenizer().tokenize(text) for text in pair)
    assert similarity.similarity("gleu", *pair) == sentence_gleu([reference], text)


@two_hundred
@given(pairs)
def test_rouge_is_rouge_score(pair: tuple[str, str]):
    text, reference = pair
    scores = RougeScorer([*ROUGE.values()]).score(reference, text)
    for metric, kind in ROUGE.items():
        assert similarity.similarity(metric, text, reference) == scores[kind].fmeasure


def wordnet() -> bool:
    try:
        return bool(nltk.data.find("corpora/wordnet.zip"))
    except LookupError:
        return False


def test_meteor_is_nltk_or_unavailable():
    generator = random.Random(1)
    if not wordnet():
        with pytest.raises(InvalidRequest, match="WordNet") as caught:
            similarity.similarity("meteor", "a fever", "the fever")
        assert caught.value.code == "grader_unavailable"
        return
    for _ in range(200):
        text, reference = (" ".join(generator.choices(WORDS, k=generator.randint(0, 16))) for _ in range(2))
        cut = NLTKWordTokenizer().tokenize
        assert similarity.similarity("meteor", text, reference) == meteor_score([cut(reference)], cut(text))


@pytest.mark.parametrize("metric", [name for name in similarity.METRICS if name != "meteor"])
def test_the_same_text_is_one_and_another_is_less(metric: Metric):
    text = "take one tablet of it every day"
    assert similarity.similarity(metric, text, text) == pytest.approx(1)
    assert similarity.similarity(metric, "xx yy zz", text) < 0.3


@pytest.mark.parametrize("metric", similarity.METRICS)
def test_a_text_that_is_too_long(metric: Metric):
    with pytest.raises(GradingFailed) as caught:
        similarity.similarity(metric, "a" * (similarity.MOST_CHARACTERS + 1), "a")
    assert caught.value.flags.truncated_observation_error


@two_hundred
@given(st.text(), st.text())
def test_string_checks(text: str, reference: str):
    assert strings.check("eq", text, reference) == (text == reference)
    assert strings.check("ne", text, reference) == 1 - strings.check("eq", text, reference)
    assert strings.check("like", text + reference + text, reference) == 1
    assert strings.check("ilike", (text + reference).upper(), reference.upper()) == 1


@pytest.mark.parametrize(
    ("operation", "reference", "expected"),
    [
        ("like", "b", 1),
        ("like", "B", 0),
        ("ilike", "B", 1),
        ("like", "%", 0),
        ("like", "a_c", 0),
        ("like", "", 1),
    ],
)
def test_containing_knows_no_wildcards(operation: strings.Operation, reference: str, expected: int):
    assert strings.check(operation, "abc", reference) == expected
