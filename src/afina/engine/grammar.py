"""Replies held to a form: which ids may come next, so that what is said is JSON of a schema, or a tool call.

Forms are written as grammars of llguidance and compiled for one tokenizer. Knows no torch: a mask is a row of bits.
"""

import hashlib
import json
import re
import threading
from collections import OrderedDict
from collections.abc import Iterable, Mapping
from pathlib import Path

from llguidance import LLMatcher, LLParserLimits, LLTokenizer, TokenizerWrapper

from afina.errors import FormTooComplex
from afina.schemas.structure import EitherForm, Form, JsonForm, Tag, TagsForm, TriggeredForm

# Compiled grammars kept; the least recently used goes first. One takes about 25 times its text (measured on schemas of
# 5 to 200 KB): so they take some 50 MB in all.
MOST = 64
MOST_TEXT = 2 * 2**20
# White space as people and programs write JSON: none, a space, or a line with its indent. It has to end: a weak
# model would fill its whole reply with it.
WHITESPACE = r" |\n {0,16}"
# What one grammar may cost: about 20 ms of an unlucky mask, and some 40 MB of states.
LIMITS = LLParserLimits(
    initial_lexer_fuel=1_000_000,
    step_lexer_fuel=100_000,
    step_max_items=50_000,
    max_lexer_states=25_000,
    max_grammar_size=200_000,
    verbose_errors=False,
)
WHERE = re.compile(r"^at \d+\(\d+\): failed to compile JSON schema: ")  # a place in what we have written
OPENING = b'{"'  # as far as `fault` tries a grammar: behind it stand the names of all properties


class Grammar:
    """A form, compiled from a text of this `size`; any number of replies follow it at once."""

    def __init__(self, matcher: LLMatcher, size: int):
        self.matcher = matcher
        self.size = size

    def start(self) -> "Matcher":
        """The form at the beginning of a reply."""
        return Matcher(self.matcher.deep_copy())


class Matcher:
    """How far one reply has come."""

    def __init__(self, matcher: LLMatcher):
        self.matcher = matcher

    def allowed(self) -> bytes:
        """A bit for each id, lowest first, set where the form lets it follow; none are where it grew too complex."""
        bits = self.matcher.compute_bitmask()
        return bytes(len(bits)) if self.matcher.is_error() else bits

    def take(self, id: int) -> None:
        """This id follows."""
        self.matcher.consume_token(id)

    @property
    def over(self) -> bool:
        """Whether the form is complete and nothing can follow."""
        return self.matcher.is_stopped() and not self.matcher.is_error()


class Grammars:
    """The grammars of one tokenizer; its table takes a second or two to build for a large vocabulary."""

    def __init__(self, tokenizer: Path, *, vocab_size: int, stop_ids: Iterable[int]):
        self.path = tokenizer
        self.vocab_size = vocab_size
        self.stop_ids = sorted(stop_ids)
        self.tokenizer: LLTokenizer | None = None
        self.tokens: dict[str, int] = {}
        self.kept: OrderedDict[str, Grammar] = OrderedDict()
        self.lock = threading.Lock()

    def compiled(self, form: Form) -> Grammar:
        """The grammar of a form; FormTooComplex where it cannot be compiled. For any thread but the loop's own."""
        key = hashlib.sha256(form.model_dump_json().encode()).hexdigest()
        with self.lock:
            if key in self.kept:
                self.kept.move_to_end(key)
                return self.kept[key]
            tokenizer = self.read()
        text = written(form, self.tokens)
        matcher = LLMatcher(tokenizer, text, log_level=0, limits=LIMITS)
        if matcher.is_error():
            raise FormTooComplex("The form of the reply cannot be compiled.")
        grammar = Grammar(matcher, len(text))
        with self.lock:
            self.kept[key] = grammar
            while len(self.kept) > MOST or sum(kept.size for kept in self.kept.values()) > MOST_TEXT:
                self.kept.popitem(last=False)
        return grammar

    def read(self) -> LLTokenizer:
        """The tokenizer as llguidance sees it, with the names of its ids that stand for a tag."""
        if self.tokenizer is None:
            text = self.path.read_text("utf-8")
            added = json.loads(text).get("added_tokens", [])
            self.tokens = {token["content"]: token["id"] for token in added}
            self.tokenizer = LLTokenizer(
                text,
                n_vocab=self.vocab_size,
                eos_token=self.stop_ids or None,
                slices=LLTokenizer.json_slices(),
            )
        return self.tokenizer


def fault(form: Form, *, lenient: bool) -> str | None:
    """Why no reply could follow a form, in llguidance's words, or None; not `lenient`: keywords it cannot hold too.

    It is tried over single bytes, so that no tokenizer is needed.
    """
    matcher = LLMatcher(BYTES, written(form, {}, lenient=lenient), log_level=0, limits=LIMITS)
    for byte in OPENING:
        allowed = matcher.compute_bitmask()
        if matcher.is_error() or not allowed[byte // 8] >> byte % 8 & 1:
            break
        matcher.consume_token(byte)
    matcher.compute_bitmask()
    return WHERE.sub("", matcher.get_error()) if matcher.is_error() else None


def written(form: Form, tokens: Mapping[str, int], *, lenient: bool = True) -> str:
    """A form as a grammar in llguidance's dialect of Lark; `tokens` are the ids of tags that are one token."""
    rules = Rules(tokens, lenient=lenient)
    rules.add("start", rules.form(form))
    return "\n".join(rules.lines)


class Rules:
    """The rules of one grammar as they are being written."""

    def __init__(self, tokens: Mapping[str, int], *, lenient: bool):
        self.tokens = tokens
        self.lenient = lenient
        self.lines: list[str] = []

    def add(self, name: str, body: str) -> str:
        """Write a rule down; its name is how others refer to it."""
        self.lines.append(f"{name}: {body}")
        return name

    def form(self, form: Form) -> str:
        """What a form says, as the body of a rule."""
        match form:
            case JsonForm():
                return self.json(form)
            case TagsForm():
                tag = self.tag(form.tags)
                return tag if form.stop_after_first else f"{tag} ({self.text(form.separator)} {tag})*"
            case TriggeredForm():
                return self.triggered(form)
            case EitherForm():
                names = [self.add(f"either_{len(self.lines)}", self.form(part)) for part in form.elements]
                return " | ".join(names)

    def json(self, form: JsonForm) -> str:
        """JSON of a schema; options of llguidance's own that came with the schema do not count."""
        options = {"whitespace_pattern": WHITESPACE, "lenient": self.lenient}
        return "%json " + json.dumps({**form.json_schema, "x-guidance": options}, ensure_ascii=True)

    def tag(self, tags: list[Tag], trigger: str = "") -> str:
        """One of the tags, behind the trigger that it begins with."""
        names = [
            self.add(
                f"tag_{len(self.lines)}",
                f"{self.text(tag.begin.removeprefix(trigger))} {self.json(tag.content)} {self.text(tag.end)}",
            )
            for tag in tags
        ]
        return self.add(f"tags_{len(self.lines)}", " | ".join(names))

    def triggered(self, form: TriggeredForm) -> str:
        """Text, in which the trigger leads to a tag. A trigger that is one token is never spelt out."""
        (trigger,) = form.triggers
        tag = self.tag(form.tags, trigger)
        if (id := self.tokens.get(trigger)) is None:
            self.add("head[lazy]", f"/(?s:.*)/ {json.dumps(trigger)}")
            part, rest = f"head {tag}", self.add("rest", "/(?s:.*)/")
        else:
            rest = self.add("rest", "TEXT?")
            self.add("TEXT", f"/(?s:.+)/ & ~/(?s:.*){escaped(trigger)}(?s:.*)/")
            part = f"{rest} <[{id}]> {tag}"
        return f"{rest} | {part}" if form.stop_after_first else f"({part})* {rest}"

    def text(self, text: str) -> str:
        """A text, tags that are one token as that token."""
        if not text:
            return '""'
        known = "|".join(map(escaped, self.tokens)) or r"(?!)"
        pieces = filter(None, re.split(f"({known})", text))
        return " ".join(
            f"<[{self.tokens[piece]}]>" if piece in self.tokens else json.dumps(piece, ensure_ascii=False)
            for piece in pieces
        )


def escaped(text: str) -> str:
    """A text as a regular expression within slashes."""
    return re.escape(text).replace("/", r"\/")


class Bytes(TokenizerWrapper):
    """A tokenizer whose tokens are the bytes themselves, and an end."""

    def __init__(self) -> None:
        self.eos_token_id = 256
        self.bos_token_id = None
        self.tokens = [bytes([byte]) for byte in range(256)] + [b"<end>"]
        self.special_token_ids = [256]
        self.is_tokenizer_wrapper = True

    def __call__(self, text: str | bytes) -> list[int]:
        """The ids of a text."""
        return list(text.encode() if isinstance(text, str) else text)


BYTES = LLTokenizer(Bytes(), slices=[])
