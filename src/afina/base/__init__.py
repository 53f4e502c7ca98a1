"""The bundled tiny base model: weights, tokenizer, template and card."""

from pathlib import Path

NAME = "afina-tiny"


def path() -> Path:
    """The folder that holds the model's files."""
    return Path(__file__).parent
