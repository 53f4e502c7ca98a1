"""How near two texts are, by eleven metrics, each computed by the library that is known for it.

Libraries are imported where they are used: together they take a second to load, and few servers need all.
"""

import threading
from collections.abc import Callable, Mapping
from functools import cache
from typing import Protocol, cast

from afina.graders.errors import GradingFailed, unavailable
from afina.schemas.graders import GraderErrors, Metric

MOST_CHARACTERS = 16_384  # of each text: some of these metrics take time that grows with its square


_LOADING = threading.Lock()


class _Score(Protocol):
    """What is used of a library's result."""

    @property
    def fmeasure(self) -> float: ...


def similarity(metric: Metric, text: str, reference: str) -> float:
    """0 to 1, as the metric's library says with its own defaults. Not for "cosine", which needs an encoder."""
    if max(len(text), len(reference)) > MOST_CHARACTERS:
        raise GradingFailed(
            f"text_similarity compares texts of at most {MOST_CHARACTERS} characters",
            GraderErrors(truncated_observation_error=True),
        )
    return METRICS[metric](text, reference)


def require(metric: Metric) -> None:
    """400 `grader_unavailable` for a metric whose data this installation does not have."""
    if metric == "meteor" and not _has_wordnet():
        raise unavailable(
            "METEOR looks words up in WordNet, which is not installed on this server. "
            "Its operator can add it with `python -m nltk.downloader wordnet`; other metrics need nothing"
        )


def fuzzy_match(text: str, reference: str) -> float:
    """rapidfuzz's `fuzz.ratio`, as a share of one."""
    from rapidfuzz import fuzz

    return fuzz.ratio(text, reference) / 100


def bleu(text: str, reference: str) -> float:
    """sacrebleu's sentence BLEU, as a share of one."""
    from sacrebleu import sentence_bleu

    return sentence_bleu(text, [reference]).score / 100


def gleu(text: str, reference: str) -> float:
    """nltk's Google BLEU over its Treebank words."""
    from nltk.translate.gleu_score import sentence_gleu  # pyright: ignore[reportUnknownVariableType]

    score = cast("Callable[[list[list[str]], list[str]], float]", sentence_gleu)
    return float(score([_words(reference)], _words(text)))


def meteor(text: str, reference: str) -> float:
    """nltk's METEOR over its Treebank words, with WordNet's synonyms."""
    from nltk.translate.meteor_score import meteor_score

    require("meteor")
    return float(meteor_score([_words(reference)], _words(text)))


def rouge(kind: str) -> Callable[[str, str], float]:
    """The F-measure of rouge-score, without stemming, over its own words: runs of a to z and digits."""

    def score(text: str, reference: str) -> float:
        from rouge_score.rouge_scorer import RougeScorer

        scores = cast("dict[str, _Score]", RougeScorer([kind]).score(reference, text))
        return float(scores[kind].fmeasure)

    return score


METRICS: Mapping[Metric, Callable[[str, str], float]] = {
    "fuzzy_match": fuzzy_match,
    "bleu": bleu,
    "gleu": gleu,
    "meteor": meteor,
    "rouge_1": rouge("rouge1"),
    "rouge_2": rouge("rouge2"),
    "rouge_3": rouge("rouge3"),
    "rouge_4": rouge("rouge4"),
    "rouge_5": rouge("rouge5"),
    "rouge_l": rouge("rougeL"),
}


def cosine(one: list[float], other: list[float]) -> float:
    """Of two vectors of unit length."""
    return sum(a * b for a, b in zip(one, other, strict=True))


def _words(text: str) -> list[str]:
    """Words and marks as the Penn Treebank cuts them, which needs none of nltk's data."""
    from nltk.tokenize.destructive import NLTKWordTokenizer

    return NLTKWordTokenizer().tokenize(text)


@cache
def _has_wordnet() -> bool:
    """Whether nltk finds its data."""
    from nltk.corpus import wordnet

    with _LOADING:  # nltk's own loading is not safe among threads
        try:
            wordnet.ensure_loaded()
        except LookupError:
            return False
    return True
