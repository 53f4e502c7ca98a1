"""An answer measured beside a reference, and against a form. Knows no meaning."""

from collections.abc import Sequence
from typing import Protocol, cast

from rouge_score.rouge_scorer import RougeScorer
from rouge_score.tokenizers import Tokenizer

from afina.evals.words import words


class _Words(Tokenizer):
    """The library's own tokenizer knows the letters a to z only, and cuts Spanish words at every accent."""

    def tokenize(self, text: str) -> list[str]:
        return words(text)


class _Score(Protocol):
    """What is used of the library's result, which has no types."""

    @property
    def fmeasure(self) -> float: ...


_ROUGE = RougeScorer(["rougeL"], tokenizer=_Words())


def rouge_l(reference: str, answer: str) -> float:
    """F-measure of the longest common subsequence of words, 0 to 1, without stemming (Lin, 2004)."""
    scores = cast("dict[str, _Score]", _ROUGE.score(reference, answer))
    return scores["rougeL"].fmeasure


def stated(answer: str, headings: Sequence[str]) -> bool:
    """Whether all headings stand in the answer, in their order, each with words behind it."""
    rest = answer
    for place, heading in enumerate(headings):
        before, found, behind = rest.partition(heading)
        if not found or (place and not words(before)):
            return False
        rest = behind
    return not headings or bool(words(rest))
