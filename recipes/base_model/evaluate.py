"""Measure a base model: bits per byte of held-out conversations, beside a 5-gram model, and what it answers."""

import math
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from random import Random

import numpy as np
import torch
import torch.nn.functional as F
from corpus import MIXTURE, encode
from ngram import NGrams
from numpy.typing import NDArray
from shape import CONTEXT
from sources import Document
from transformers import LlamaForCausalLM, PreTrainedTokenizerFast

# Gives the natural log-probability of each id but the first.
Scores = Callable[[list[int]], NDArray[np.float64]]
ABOUT = {
    "en": [
        "What is {s}?",
        "What are the symptoms of {s}?",
        "What causes {s}?",
        "What are the treatments for {s}?",
    ],
    "es": ["¿Qué es {s}?", "¿Qué síntomas tiene {s}?", "¿Qué causa {s}?", "¿Cómo se trata {s}?"],
}
SPANISH_ARTICLES = ("el ", "la ", "los ", "las ")
ANSWER_TOKENS, QUESTIONS_AT_ONCE = 80, 25


def bits_per_byte(scores: Scores, tokenizer: PreTrainedTokenizerFast, documents: Iterable[Document]) -> float:
    """Return the bits a byte of rendered text costs; a document is cut at the context length."""
    nats, size = 0.0, 0
    for document in documents:
        ids = encode(document, tokenizer)[:CONTEXT]
        nats -= float(scores(ids).sum())
        # The first token is given; the last is the end of the text, which has no bytes, unless the text was cut.
        size += len(tokenizer.decode(ids[1:-1]).encode())
    return nats / math.log(2) / size


def neural(model: LlamaForCausalLM) -> Scores:
    """Score by the model."""

    @torch.inference_mode()
    def scores(ids: list[int]) -> NDArray[np.float64]:
        row = torch.tensor([ids])
        logits = model(input_ids=row[:, :-1], use_cache=False).logits[0].float()
        return -F.cross_entropy(logits, row[0, 1:], reduction="none").double().numpy()

    return scores


def ngrams(corpus: Path) -> Scores:
    """Score by a 5-gram model of every row that the base model learns from."""
    rows = [np.load(corpus / f"{name}.npy").reshape(-1) for name in MIXTURE]
    return NGrams(np.concatenate(rows).astype(np.int64)).logprobs


def naming(
    model: LlamaForCausalLM, tokenizer: PreTrainedTokenizerFast, language: str, subjects: Sequence[str]
) -> float:
    """Return the share of subjects whose name comes back in the answer to a question about them."""
    random = Random(0)
    questions = [random.choice(ABOUT[language]).format(s=subject) for subject in subjects]
    replies = answers(model, tokenizer, questions)
    named = [_name(subject) in reply.casefold() for subject, reply in zip(subjects, replies, strict=True)]
    return sum(named) / len(named)


@torch.inference_mode()
def answers(
    model: LlamaForCausalLM, tokenizer: PreTrainedTokenizerFast, questions: Sequence[str]
) -> list[str]:
    """Return the greedy answer to each question, with its end-of-turn token if it came in time."""
    replies: list[str] = []
    for first in range(0, len(questions), QUESTIONS_AT_ONCE):
        asked = [[{"role": "user", "content": q}] for q in questions[first : first + QUESTIONS_AT_ONCE]]
        texts = [tokenizer.apply_chat_template(m, tokenize=False, add_generation_prompt=True) for m in asked]
        prompt = tokenizer(
            texts, return_tensors="pt", padding=True, padding_side="left", add_special_tokens=False
        )
        ids = model.generate(**prompt, max_new_tokens=ANSWER_TOKENS, do_sample=False)
        replies += [_until_end(tokenizer, row) for row in ids[:, prompt["input_ids"].shape[1] :]]
    return replies


def _until_end(tokenizer: PreTrainedTokenizerFast, row: torch.Tensor) -> str:
    kept = [id for id in row.tolist() if id != tokenizer.pad_token_id]
    return tokenizer.decode(kept)


def _name(subject: str) -> str:
    """Return a subject without its Spanish article, which a sentence may change."""
    plain = subject.casefold()
    return next((plain.removeprefix(a) for a in SPANISH_ARTICLES if plain.startswith(a)), plain)
