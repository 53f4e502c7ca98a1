"""Moderation: the phrases of the lexicon, and the installation's own classifier where it has one."""

import asyncio

from afina import ids
from afina.errors import InvalidRequest
from afina.moderation import lexicon
from afina.schemas.completions import CompletionUsage
from afina.schemas.moderations import (
    CATEGORIES,
    MODERATOR,
    Classified,
    Classify,
    CreateModeration,
    Moderation,
    ModerationList,
)
from afina.serving.encoders import Reader, asked, reader
from afina.serving.router import Router

FLAGGED = 0.5
MOST_TOKENS = 32_768  # of one input that a classifier reads
MOST_TOKENS_IN_ALL = 300_000
# The letters by which OpenAI's first paper on moderation, and the classifiers after it, call their categories.
LETTERS = {
    "S": "sexual",
    "H": "hate",
    "V": "violence",
    "HR": "harassment",
    "SH": "self-harm",
    "S3": "sexual/minors",
    "H2": "hate/threatening",
    "V2": "violence/graphic",
}


async def moderate(router: Router, request: CreateModeration) -> ModerationList:
    """A judgement for each input."""
    texts = request.texts
    found = await asyncio.to_thread(lambda: [lexicon.scores(text) for text in texts])
    model = "afina-lexicon"
    classifier = await asyncio.to_thread(reader, router.settings.moderator, "AFINA_MODERATOR")
    if classifier is not None:
        judged_too = await classified(router, classifier, texts)
        found = [surer(*both) for both in zip(found, judged_too, strict=True)]
        model = f"{classifier.name}+{model}"
    # What is counted of moderations is requests.
    nothing = CompletionUsage(prompt_tokens=0, completion_tokens=0, total_tokens=0)
    await router.hosts.meter.count("moderations", model, nothing)
    return ModerationList(
        id=ids.prefixed("modr-"),
        model=request.model or model,
        results=[judged(scores) for scores in found],
    )


async def classified(router: Router, classifier: Reader, texts: list[str]) -> list[dict[str, float]]:
    """What the classifier says of each text; a long one is read in windows, of which the worst counts."""
    windows = await asyncio.to_thread(windows_of, classifier, texts)
    rows = [window for text in windows for window in text]
    reply = await asked(router.hosts, MODERATOR, "/classify", Classify(model=MODERATOR, input=rows))
    scores = iter(Classified.model_validate_json(reply).scores)
    found: list[dict[str, float]] = []
    for text in windows:
        worst: dict[str, float] = {}
        for _ in text:
            worst = surer(worst, by_category(next(scores)))
        found.append(worst)
    return found


def windows_of(classifier: Reader, texts: list[str]) -> list[list[list[int]]]:
    """Each text in pieces that the classifier can read; 400 where they are too long."""
    found: list[list[list[int]]] = []
    total = 0
    for place, text in enumerate(texts):
        found.append(classifier.windows(text))
        tokens = sum(map(len, found[-1]))
        total += tokens
        for length, most, whose in (
            (tokens, MOST_TOKENS, f"'input[{place}]' has" if len(texts) > 1 else "'input' has"),
            (total, MOST_TOKENS_IN_ALL, "all inputs together have"),
        ):
            if length > most:
                message = (
                    f"The input is too long: at most {most} tokens are read, and {whose} {length}. Split it."
                )
                raise InvalidRequest(message, param="input", code="context_length_exceeded")
    return found


def by_category(labels: dict[str, float]) -> dict[str, float]:
    """A classifier's labels that are categories, by their names or their letters."""
    named = {LETTERS.get(label, label): score for label, score in labels.items()}
    return {category: named[category] for category in CATEGORIES if category in named}


def surer(one: dict[str, float], other: dict[str, float]) -> dict[str, float]:
    """The higher score of each category."""
    return {category: max(one.get(category, 0.0), other.get(category, 0.0)) for category in CATEGORIES}


def judged(scores: dict[str, float]) -> Moderation:
    """A judgement by its scores."""
    categories = {category: scores[category] >= FLAGGED for category in CATEGORIES}
    return Moderation(
        flagged=any(categories.values()),
        categories=categories,
        category_scores=scores,
        category_applied_input_types={category: ["text"] for category in CATEGORIES},
    )
