"""What `afina compare` says. Knows no figures."""

from collections.abc import Mapping

from afina.cli.language import _

Words = Mapping[str, str]

ENGLISH: Words = {
    "base": "base",
    "prompted": "prompted base",
    "tuned": "tuned",
    "metric": "METRIC",
    "loss": "loss, nats per token",
    "token_accuracy": "token accuracy",
    "rouge_l": "ROUGE-L to the reference",
    "all_parts": "all parts stated",
    "term_overlap": "question's terms taken up",
    "coverage": "reference's terms stated",
    "cohesion": "sentences that hang together",
    "judged_relevance": "relevance, 1 to 5 by a model",
    "judged_completeness": "completeness, 1 to 5 by a model",
    "judged_coherence": "coherence, 1 to 5 by a model",
    "prompt_tokens": "prompt tokens per answer",
    "items": "{count} held-out conversations; in brackets 95% intervals (bootstrap, {resamples} resamples)",
    "paired": "better and worse are said where the interval of the difference, answer by answer, leaves zero out; "
    "these intervals hold together, all metrics against an arm, in 95 of 100 comparisons",
    "verdict": "tuned against {arm}: {outcomes}",
    "better": "better in {metrics}",
    "worse": "worse in {metrics}",
    "not_shown": "no difference shown in {metrics}",
    "prompt": "prompt: {system}, {examples}",
    "system": "a system message",
    "no_system": "no system message",
    "examples": "{count} examples",
    "chosen": "{count} examples, by the loss on {judges} other training rows ({losses})",
    "overlap": "{count} of the {total} held-out conversations are in the training file too: do not trust these figures",
    "no_overlap": "none of the held-out conversations is in the training file",
    "wins": "wins of the tuned model, ties as half: {rates}",
    "enough": "prompting is enough: in nothing is the tuned model shown to be better than the prompted base",
    "choosing": "choosing the prompt",
    "answering": "answers: {arm}",
    "scoring": "scores: {arm}",
    "grading": "grades: {arm}",
}


def chosen() -> Words:
    """The table in the person's language."""
    return {name: _(text) for name, text in ENGLISH.items()}
