"""An answer measured without a reference to meaning: does it keep to its question, say all, and hang together?

Only words are compared, and only Python's own library is needed: these functions are also the source of graders.
"""

import re

from afina.evals.words import content_words, words

_SENTENCE = re.compile(r"[.!?;\n]+")
_RUN = 3  # words that make a repetition


def term_overlap(question: str, answer: str) -> float | None:
    """Relevance: the share of the question's content words that the answer takes up; None where it has none."""
    asked = content_words(question)
    return len(asked & content_words(answer)) / len(asked) if asked else None


def coverage(reference: str, answer: str) -> float | None:
    """Completeness: the share of the reference's content words that the answer has; None where it has none."""
    wanted = content_words(reference)
    return len(wanted & content_words(answer)) / len(wanted) if wanted else None


def cohesion(answer: str) -> float:
    """Coherence: sentences that take up a word of those before them, times runs of words that are no repetition."""
    said = words(answer)
    runs = [tuple(said[place : place + _RUN]) for place in range(len(said) - _RUN + 1)]
    if not said:
        return 0.0
    return linked(answer) * (len(set(runs)) / len(runs) if runs else 1.0)


def linked(answer: str) -> float:
    """The share of sentences behind the first that take up a content word of an earlier one; 1 for one sentence."""
    sentences = [content_words(text) for text in _SENTENCE.split(answer) if words(text)]
    before: frozenset[str] = frozenset()
    links: list[bool] = []
    for place, sentence in enumerate(sentences):
        if place:
            links.append(bool(sentence & before))
        before |= sentence
    return sum(links) / len(links) if links else 1.0
