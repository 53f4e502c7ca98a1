"""Encoders of random weights with a vocabulary of a few words: small enough to load within a test."""

from pathlib import Path

import torch
from tokenizers import Tokenizer
from tokenizers.models import WordPiece
from tokenizers.normalizers import BertNormalizer
from tokenizers.pre_tokenizers import BertPreTokenizer
from tokenizers.processors import TemplateProcessing
from transformers import BertConfig, BertForSequenceClassification, BertModel

LETTERS = "abcdefghijklmnopqrstuvwxyz"
WORDS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "the", "quick", "brown", "fox", "dog", *LETTERS)
VOCABULARY = {word: id for id, word in enumerate((*WORDS, *(f"##{letter}" for letter in LETTERS)))}
CONTEXT = 32
WIDTH = 12
SIZES = {
    "vocab_size": len(VOCABULARY),
    "hidden_size": WIDTH,
    "intermediate_size": 24,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "max_position_embeddings": CONTEXT,
    "pad_token_id": 0,
}


def make(folder: Path) -> Path:
    """A sentence encoder; it is the same each time."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        BertModel(BertConfig(**SIZES), add_pooling_layer=False).save_pretrained(folder)
    return speak(folder)


def make_classifier(folder: Path, labels: dict[int, str], **options: object) -> Path:
    """A classifier with these labels."""
    config = BertConfig(
        **SIZES, id2label=labels, label2id={name: id for id, name in labels.items()}, **options
    )
    with torch.random.fork_rng():
        torch.manual_seed(0)
        BertForSequenceClassification(config).save_pretrained(folder)
    return speak(folder)


def speak(folder: Path) -> Path:
    """Write the tokenizer."""
    tokenizer = Tokenizer(WordPiece(VOCABULARY, unk_token="[UNK]"))
    tokenizer.normalizer = BertNormalizer()
    tokenizer.pre_tokenizer = BertPreTokenizer()
    tokenizer.post_processor = TemplateProcessing(
        single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    tokenizer.save(str(folder / "tokenizer.json"))
    return folder
