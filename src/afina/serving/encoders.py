"""Encoders as serving sees them: a folder with a tokenizer and a length of context, and a host that has the weights."""

import threading
from functools import cache
from pathlib import Path

import httpx
from pydantic import BaseModel
from tokenizers import Tokenizer

from afina.data.templates import read_config
from afina.data.tokenizer import encoded
from afina.errors import Unavailable
from afina.serving.hosts import Hosts, check, lost

ROBERTA_OFFSET = 2  # such families count positions from behind their padding id


class Reader:
    """Turns texts into ids, with the special tokens that the encoder was trained with."""

    def __init__(self, folder: Path):
        config = read_config(folder / "config.json")
        self.name = folder.resolve().name
        self.width = number(config.get("hidden_size"))
        self.tokenizer = Tokenizer.from_str((folder / "tokenizer.json").read_text("utf-8"))
        self.tokenizer.no_truncation()
        self.tokenizer.no_padding()
        positions = number(config.get("max_position_embeddings"))
        if "roberta" in str(config.get("model_type")):
            positions -= ROBERTA_OFFSET
        self.context = min(positions, declared_length(folder) or positions)

    def ids(self, text: str) -> list[int]:
        """A text with its special tokens."""
        return encoded(self.tokenizer, text, special=True)

    def framed(self, ids: list[int]) -> list[int]:
        """Ids of a text with the special tokens around them."""
        frame = self.tokenizer.encode("").ids
        half = (len(frame) + 1) // 2
        return [*frame[:half], *ids, *frame[half:]]

    @property
    def size(self) -> int:
        """Ids are below it."""
        return self.tokenizer.get_vocab_size(with_added_tokens=True)

    def windows(self, text: str) -> list[list[int]]:
        """A text of any length in pieces that the encoder can read."""
        plain = encoded(self.tokenizer, text, special=False)
        room = self.context - len(self.framed([]))
        starts = range(0, max(len(plain), 1), room)
        return [self.framed(plain[start : start + room]) for start in starts]


def number(value: object) -> int:
    """A number of the configuration; without it a folder is no encoder's."""
    if not isinstance(value, int):
        raise ValueError("config.json lacks a number that encoders have")
    return value


def declared_length(folder: Path) -> int | None:
    """The length that sentence encoders were tuned for."""
    file = folder / "sentence_bert_config.json"
    length = read_config(file).get("max_seq_length") if file.is_file() else None
    return length if isinstance(length, int) else None


lock = threading.Lock()


def reader(folder: str, setting: str) -> Reader | None:
    """The reader of a configured folder, read once; None where none is configured."""
    if not folder:
        return None
    try:
        with lock:
            return read(Path(folder))
    except (OSError, ValueError) as error:
        raise unreadable(setting) from error


@cache
def read(folder: Path) -> Reader:
    """A folder's reader."""
    return Reader(folder)


def unreadable(setting: str) -> Unavailable:
    """The operator has configured what is no encoder."""
    message = f"The folder of {setting} is no encoder that can be read; its operator has to mend that."
    return Unavailable(message, code="encoder_unavailable", retry_after=None)


async def asked(hosts: Hosts, name: str, path: str, body: BaseModel) -> bytes:
    """What the host of an encoder answers; when it dies meanwhile, its successor is asked once more."""
    for _ in range(2):
        try:
            async with hosts.post(name, path, body) as response:
                await check(response)
                return await response.aread()
        except httpx.TransportError:
            continue
    raise lost()
