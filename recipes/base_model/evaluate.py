"""Measure a base model: bits per byte of held-out conversations, and what it answers."""

import math
from collections.abc import Iterable, Sequence

import torch
import torch.nn.functional as F
from corpus import encode
from shape import CONTEXT
from sources import Document
from transformers import LlamaForCausalLM, PreTrainedTokenizerFast

QUESTIONS = (
    "Hello!",
    "What is asthma?",
    "What are the symptoms of Marfan syndrome?",
    "What is 4 + 5?",
    "Hola, ¿qué tal?",
    "¿Qué es la diabetes?",
    "¿Cuál es el tratamiento de la gripe?",
    "Gracias",
)
ABOUT = {"en": "What is {s}?", "es": "¿Qué es {s}?"}


@torch.inference_mode()
def bits_per_byte(
    model: LlamaForCausalLM, tokenizer: PreTrainedTokenizerFast, documents: Iterable[Document]
) -> float:
    """Return the bits a byte of rendered text costs; a document is cut at the context length."""
    nats, size = 0.0, 0
    for document in documents:
        ids = torch.tensor([encode(document, tokenizer)[:CONTEXT]])
        logits = model(input_ids=ids[:, :-1], use_cache=False).logits[0]
        nats += F.cross_entropy(logits.float(), ids[0, 1:], reduction="sum").item()
        # The first token is given and the last, end of text, has no bytes of its own.
        size += len(tokenizer.decode(ids[0, 1:-1]).encode())
    return nats / math.log(2) / size


def carried(
    model: LlamaForCausalLM, tokenizer: PreTrainedTokenizerFast, question: str, subjects: Sequence[str]
) -> float:
    """Return the share of subjects whose name comes back in the answer to a question with {s} in it."""
    replies = [answer(model, tokenizer, question.format(s=subject)) for subject in subjects]
    pairs = zip(subjects, replies, strict=True)
    return sum(subject.casefold() in reply.casefold() for subject, reply in pairs) / len(subjects)


@torch.inference_mode()
def answer(model: LlamaForCausalLM, tokenizer: PreTrainedTokenizerFast, question: str) -> str:
    """Return the greedy answer to a question, at most 80 tokens, with its end-of-turn token if it came."""
    messages = [{"role": "user", "content": question}]
    text = tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
    prompt = torch.tensor([tokenizer.encode(text, add_special_tokens=False)])
    ids = model.generate(prompt, attention_mask=torch.ones_like(prompt), max_new_tokens=80, do_sample=False)
    return tokenizer.decode(ids[0, prompt.shape[1] :])
