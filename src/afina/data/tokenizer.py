"""Text to token ids and back, piece by piece; knows no messages."""

import re
from collections.abc import Iterable, Sequence
from functools import cached_property
from pathlib import Path

from tokenizers import Tokenizer

from afina.data.strict_json import JsonObject, JsonValue
from afina.errors import DataError

# Unicode sets these aside for a program's internal use; no interchanged text holds them.
_NONCHARACTERS = tuple(map(chr, range(0xFDD0, 0xFDF0)))
_REPLACEMENT = "\ufffd"
_SEPARATOR = "<|endoftext|>"  # between documents, for those tokenizers that put nothing before a text
_RAW_BYTE = re.compile(r"<0x[0-9A-F]{2}>")  # what SentencePiece writes for a byte that is no piece
_MAX_PENDING = 3  # An unfinished character lacks at least one of at most four bytes.


def encoded(tokenizer: Tokenizer, text: str, *, special: bool) -> list[int]:
    """The ids of a text, with or without what the tokenizer puts around it; DataError where it has none."""
    try:
        return tokenizer.encode(text, add_special_tokens=special).ids
    except Exception as error:  # tokenizers raises nothing narrower
        if type(error) is not Exception:
            raise
        message = "This model's tokenizer cannot read a part of the text; leave out unusual characters."
        raise DataError(message, code="text_not_readable") from None


class TextTokenizer:
    """A model folder's `tokenizer.json`, with control tokens that only a template can write."""

    def __init__(self, folder: Path, *, template: str):
        self._tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        self._tokenizer.no_truncation()
        self._tokenizer.no_padding()
        self._added = self._tokenizer.get_added_tokens_decoder()
        self._byte_level = "ByteLevel" in str(self._tokenizer.decoder)
        added = self._added.values()
        self.special = frozenset(token.content for token in added if token.special)
        # Tags such as <tool_response> are structure where a template writes them, special or not.
        structural = {
            t.content for t in added if t.content in template and re.fullmatch(r"\S{3,}", t.content)
        }
        self.control = self.special | structural
        self._special_pattern = _any_of(self.special)
        self._control_pattern = _any_of(self.control)
        self._newline: list[int] = self._plain("\n")
        # SentencePiece tokenizers put a space before whatever they are given.
        self._prefixes_space = self._plain("\na") != self._newline + self._plain("a")

    def id_of(self, token: str) -> int | None:
        """The id of a token spelt exactly so."""
        return self._tokenizer.token_to_id(token)

    @property
    def size(self) -> int:
        """Ids are below it, where they have a token."""
        return self._tokenizer.get_vocab_size(with_added_tokens=True)

    def bytes_of(self, id: int) -> bytes:
        """What a token puts into a text: a part of a character too, and nothing where it is special or unknown."""
        if (added := self._added.get(id)) is not None:
            return b"" if added.special else added.content.encode()
        piece = self._tokenizer.id_to_token(id)
        if piece is None:
            return b""
        if self._byte_level:
            return bytes(_BYTE_OF[letter] for letter in piece)
        if _RAW_BYTE.fullmatch(piece):
            return bytes([int(piece[3:5], 16)])
        return piece.replace("\u2581", " ").encode()

    def encode(self, text: str, *, mark: str, first: bool) -> list[int]:
        """The ids of one piece of a rendering; `first` says that no piece stands before it.

        At each mark the text is cut, so that a control token spelt by a user is never seen whole.
        """
        ids: list[int] = []
        for part in text.split(mark):
            if part:
                ids += self._plain(part) if first or not self._prefixes_space else self._inner(part)
                first = False
        return ids

    @cached_property
    def beginning(self) -> list[int]:
        """The ids before a document's first: what the tokenizer itself puts there, else its separator, if any."""
        found = self._tokenizer.encode("a", add_special_tokens=True).ids
        if lead := found[: found.index(self._plain("a")[0])]:
            return lead
        separator = self.id_of(_SEPARATOR)
        return [] if separator is None else [separator]

    def mark_for(self, values: Iterable[JsonValue]) -> str:
        """A character that none of the strings holds; the first of its kind if all are taken."""
        joined = "".join(text for value in values for text in _strings(value))
        return next((c for c in _NONCHARACTERS if c not in joined), _NONCHARACTERS[0])

    def marked(self, message: JsonObject, mark: str) -> JsonObject:
        """The message or tool with a mark inside each control token that its strings spell.

        Tags that are not special stay whole in an assistant's content, where reasoning is written with them.
        """
        marked = {key: _marked(value, self._control_pattern, mark) for key, value in message.items()}
        if message.get("role") == "assistant":
            marked["content"] = _marked(message.get("content"), self._special_pattern, mark)
        return marked

    def spells_control(self, message: JsonObject) -> bool:
        """Whether a string of this message or tool spells a control token."""
        pattern = self._special_pattern if message.get("role") == "assistant" else self._control_pattern
        return any(pattern.search(text) for text in _strings(message))

    def decode(self, ids: Sequence[int], *, skip_special: bool = True) -> str:
        """The text of ids; bytes that are no character become U+FFFD."""
        return self._tokenizer.decode(list(ids), skip_special_tokens=skip_special)

    def _plain(self, text: str) -> list[int]:
        return encoded(self._tokenizer, text, special=False)

    def _inner(self, text: str) -> list[int]:
        """Encoded behind a newline, which is taken off again together with the space."""
        ids = self._plain("\n" + text)
        known = len(self._newline)
        return ids[known:] if ids[:known] == self._newline else self._plain(text)


class StreamDecoder:
    """Text of a growing list of ids, given out as soon as no later id can change it."""

    def __init__(self, tokenizer: TextTokenizer, *, skip_special: bool = True):
        self._tokenizer = tokenizer
        self._skip_special = skip_special
        self._window: list[int] = []
        self._given = ""

    def feed(self, *ids: int) -> str:
        """The text that these ids make final; empty while a character still lacks bytes."""
        self._window += ids
        text = self._decoded(self._window)
        pending = len(text) - len(text.rstrip(_REPLACEMENT))
        final = text[: len(text) - min(pending, _MAX_PENDING)]
        new = final[len(self._given) :]
        self._given = final if len(final) > len(self._given) else self._given
        if ids and not pending:
            # The last ids stay as context: some decoders drop the space before the first token.
            self._window = [*ids]
            self._given = self._decoded(self._window)
        return new

    def flush(self) -> str:
        """What is left at the end, with U+FFFD for a character that was never finished."""
        rest = self._decoded(self._window)[len(self._given) :]
        self._window, self._given = [], ""
        return rest

    def _decoded(self, ids: Sequence[int]) -> str:
        return self._tokenizer.decode(ids, skip_special=self._skip_special)


def _letters() -> dict[str, int]:
    """The letters by which byte-level tokenizers write bytes: printable Latin-1 as it is, the rest from U+0100 on."""
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = sorted(set(range(256)) - set(printable))
    return {chr(byte): byte for byte in printable} | {chr(256 + n): byte for n, byte in enumerate(others)}


_BYTE_OF = _letters()


def _any_of(tokens: Iterable[str]) -> re.Pattern[str]:
    """Longer tokens first, so that one that contains another is found whole; no tokens match nothing."""
    longest_first = sorted(filter(None, tokens), key=lambda token: (-len(token), token))
    return re.compile("|".join(map(re.escape, longest_first)) or r"(?!)")


def _marked(value: JsonValue, pattern: re.Pattern[str], mark: str) -> JsonValue:
    match value:
        case str():
            return pattern.sub(lambda found: found[0][0] + mark + found[0][1:], value)
        case list():
            return [_marked(item, pattern, mark) for item in value]
        case dict():
            return {
                str(_marked(key, pattern, mark)): _marked(item, pattern, mark) for key, item in value.items()
            }
        case _:
            return value


def _strings(value: JsonValue) -> Iterable[str]:
    match value:
        case str():
            yield value
        case list():
            for item in value:
                yield from _strings(item)
        case dict():
            for key, item in value.items():
                yield key
                yield from _strings(item)
        case _:
            return
