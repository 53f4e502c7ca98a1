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
    "prompt_tokens": "prompt tokens per answer",
    "items": "{count} held-out conversations; in brackets 95% intervals (bootstrap, {resamples} resamples)",
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
    "no_prompt": "no prompted base: give --system or --train, and it is compared at its best",
    "choosing": "choosing the prompt",
    "answering": "answers: {arm}",
    "scoring": "scores: {arm}",
}


def chosen() -> Words:
    """The table in the person's language."""
    return {name: _(text) for name, text in ENGLISH.items()}
