"""`logit_bias` in the ids of the model that answers.

Its keys are ids of the tokenizer that a client knows: that of our model under the model's own name, OpenAI's under a
name of OpenAI's. Those are translated by their bytes, where OpenAI's vocabulary is installed, and never guessed.
"""

import base64
import binascii
from functools import lru_cache
from pathlib import Path

from afina.data.render import Renderer
from afina.errors import InvalidRequest, Unavailable
from afina.serving.names import Target

# The first prefix that fits a name counts.
ENCODINGS = (
    *(
        (name, "o200k_base")
        for name in ("gpt-4o", "gpt-4.1", "gpt-4.5", "gpt-5", "chatgpt-4o", "o1", "o3", "o4")
    ),
    *((name, "cl100k_base") for name in ("gpt-4", "gpt-3.5", "davinci-002", "babbage-002")),
)
PARAM = "logit_bias"


def translated(
    asked: dict[str, float], target: Target, renderer: Renderer, vocabularies: Path
) -> dict[str, float]:
    """The biases that are not zero, by ids of `renderer`'s tokenizer; 400 for a key that has none."""
    wanted = {key: float(value) for key, value in asked.items() if value}
    encoding = encoding_of(target)
    if not wanted or encoding is None:
        return {str(own_id(key, renderer.vocab_size)): value for key, value in wanted.items()}
    tokens = vocabulary(vocabularies / f"{encoding}.tiktoken")
    return {str(our_id(key, tokens, renderer, encoding)): value for key, value in wanted.items()}


def encoding_of(target: Target) -> str | None:
    """OpenAI's name for the tokenizer behind the name that was asked for; None where it is our model's own."""
    if target.asked == target.resolved.id:
        return None
    name = target.asked.removeprefix("ft:")
    return next((encoding for prefix, encoding in ENCODINGS if name.startswith(prefix)), None)


def own_id(key: str, size: int) -> int:
    """The id that a key spells, below the size of a vocabulary."""
    if not (key.isascii() and key.isdecimal() and len(key) < 10 and int(key) < size):
        raise refusal(f"keys must be token ids, whole numbers from 0 to {size - 1}")
    return int(key)


def our_id(key: str, tokens: dict[int, bytes], renderer: Renderer, encoding: str) -> int:
    """The id of our token with the bytes of OpenAI's."""
    if not tokens:
        raise refusal(
            f"its keys are ids of OpenAI's vocabulary {encoding}, which is not installed here; ask for the model by "
            f"its own name and use its own ids, or have the operator install {encoding}.tiktoken"
        )
    id = own_id(key, max(tokens) + 1)
    ours = renderer.ids_by_bytes.get(tokens.get(id, b""))
    if ours is None:
        raise refusal(f"token {id} of {encoding} is no single token of the model that answers; leave it out")
    return ours


def refusal(why: str) -> InvalidRequest:
    """A bias that cannot be given."""
    return InvalidRequest(f"Invalid '{PARAM}': {why}.", param=PARAM, code="invalid_value")


def vocabulary(path: Path) -> dict[int, bytes]:
    """The tokens of an installed vocabulary by id; none where it is not installed."""
    return read(path, path.stat().st_mtime_ns) if path.is_file() else {}


@lru_cache(maxsize=4)
def read(path: Path, changed: int) -> dict[int, bytes]:
    """A vocabulary in tiktoken's format: a line a token, its bytes in base64 and its id."""
    try:
        lines = (line.split() for line in path.read_bytes().splitlines() if line)
        return {int(id): base64.b64decode(token, validate=True) for token, id in lines}
    except (ValueError, binascii.Error):
        message = f"The vocabulary {path.stem} that is installed here cannot be read; its operator has to replace it."
        raise Unavailable(message, code="vocabulary_unreadable", retry_after=None) from None
