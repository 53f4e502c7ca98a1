"""Messages to token ids, the same for training and for serving; knows no torch, no file format and no job.

A *span* is one assistant turn in a rendering: it begins where the prompt for it ends and goes to its
end-of-turn token. Text is cut at both ends of each span before it is encoded, so that training sees the very
ids that serving puts before the model and that the model then says.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from pathlib import Path

from afina.data import templates
from afina.data.messages import Dialect, spoken
from afina.data.strict_json import JsonObject, JsonValue
from afina.data.templates import Unsupported
from afina.data.tokenizer import StreamDecoder, TextTokenizer
from afina.errors import DataError, InvalidRequest

_EXCHANGE: list[JsonObject] = [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]


@dataclass(frozen=True)
class Rendered:
    """One row of training: ids, and for each the weight (0 or 1) of predicting it."""

    ids: list[int]
    weights: list[int]


@dataclass(frozen=True)
class _Talk:
    """A conversation in the template's dialect, with `mark` inside each control token that it spells."""

    messages: list[JsonObject]
    tools: list[JsonObject] | None
    mark: str

    def until(self, end: int) -> "_Talk":
        return _Talk(self.messages[:end], self.tools, self.mark)


@dataclass(frozen=True)
class _Span:
    start: int
    end: int


class Renderer:
    """Tokenizer and chat template of one model folder, with the options its name is registered with."""

    def __init__(
        self,
        folder: Path,
        options: Mapping[str, JsonValue] | None = None,
        *,
        now: Callable[[], datetime] = datetime.now,
    ):
        self._template = templates.load(folder, options or {}, now)
        self._dialect = Dialect.of(self._template)
        self._tokenizer = TextTokenizer(folder, template=self._template.source)
        self._folder = folder

    def prompt(self, messages: Sequence[JsonObject], tools: Sequence[JsonObject] | None = None) -> list[int]:
        """The ids after which the model speaks; `InvalidRequest` where they cannot be rendered."""
        try:
            talk = self._talk(messages, tools)
            text = self._text(talk, prompt=True)
            _check_nothing_is_lost(talk, text)
        except Unsupported as error:
            raise InvalidRequest(_wording(error, "The chat"), param="messages") from None
        return self._encoded(talk, text, self._spans(talk, text), trained=frozenset()).ids

    def example(
        self, messages: Sequence[JsonObject], tools: Sequence[JsonObject] | None = None
    ) -> list[Rendered]:
        """The rows that train each assistant message whose weight is not 0.

        It is one row, unless the template writes earlier turns differently once the conversation goes on (as
        those that drop reasoning do): then each trained turn is a row, behind the prompt of serving.
        Raises `DataError` where the template cannot render the conversation.
        """
        trained = frozenset(i for i, m in enumerate(messages) if _is_trained(m))
        try:
            talk = self._talk(messages, tools)
            text = self._text(talk)
            _check_nothing_is_lost(talk, text)
            spans = self._spans(talk, text)
            if trained <= spans.keys():
                return [self._encoded(talk, text, spans, trained=trained)]
            return [self._turn(talk.until(turn + 1)) for turn in sorted(trained)]
        except Unsupported as error:
            raise DataError(
                _wording(error, "chat"), cure="choose another base model or rewrite the example"
            ) from None

    def document(self, text: str) -> list[int]:
        """The ids of a text that begins a document, without a template; control tokens that it spells stay text."""
        mark = self._tokenizer.mark_for([text])
        plain = self._tokenizer.marked({"text": text}, mark)["text"]
        assert isinstance(plain, str)
        return [*self.beginning, *self._tokenizer.encode(plain, mark=mark, first=True)]

    @property
    def beginning(self) -> list[int]:
        """What stands before the text of a document; none with some tokenizers."""
        return self._tokenizer.beginning

    def spells_control(
        self, messages: Sequence[JsonObject], tools: Sequence[JsonObject] | None = None
    ) -> bool:
        """Whether some string spells a control token, which will be encoded as plain text."""
        return any(self._tokenizer.spells_control(value) for value in (*messages, *(tools or ())))

    def decode(self, ids: Sequence[int], *, skip_special: bool = True) -> str:
        """The text of ids, by default without special tokens."""
        return self._tokenizer.decode(ids, skip_special=skip_special)

    def bytes_of(self, id: int) -> bytes:
        """What one token puts into a text; nothing where it is special or unknown."""
        return self._tokenizer.bytes_of(id)

    @cached_property
    def ids_by_bytes(self) -> dict[bytes, int]:
        """The vocabulary the other way round, without special tokens; the first of those that are spelt alike."""
        found = {self.bytes_of(id): id for id in reversed(range(self.vocab_size))}
        found.pop(b"", None)
        return found

    @property
    def vocab_size(self) -> int:
        """Ids below it are tokens."""
        return self._tokenizer.size

    def stream_decoder(self, *, skip_special: bool = True) -> StreamDecoder:
        """A decoder for one answer that is read while it grows."""
        return StreamDecoder(self._tokenizer, skip_special=skip_special)

    @cached_property
    def stop_ids(self) -> frozenset[int]:
        """Ids that end an answer: those of the model's configuration and the template's end of turn."""
        configs = (
            templates.read_config(self._folder / name) for name in ("generation_config.json", "config.json")
        )
        declared = [config.get("eos_token_id") for config in configs]
        ids = {
            i
            for entry in declared
            for i in (entry if isinstance(entry, list) else [entry])
            if isinstance(i, int)
        }
        for token in (templates.special_tokens(self._folder).get("eos_token"), self._end_of_turn()):
            found = self._tokenizer.id_of(token) if token else None
            ids |= set() if found is None else {found}
        return frozenset(ids)

    def _talk(self, messages: Sequence[JsonObject], tools: Sequence[JsonObject] | None) -> _Talk:
        if tools and not self._dialect.declares_tools:
            raise Unsupported("tools")
        in_dialect = spoken(messages, self._dialect)
        if not self._dialect.renders_calls and any("tool_calls" in message for message in in_dialect):
            raise Unsupported("tool calls")
        mark = self._tokenizer.mark_for([*in_dialect, *(tools or ())])
        marked = [self._tokenizer.marked(message, mark) for message in in_dialect]
        return _Talk(marked, [self._tokenizer.marked(tool, mark) for tool in tools] if tools else None, mark)

    def _text(self, talk: _Talk, *, prompt: bool = False) -> str:
        return self._template.render(talk.messages, talk.tools, prompt=prompt)

    def _spans(self, talk: _Talk, text: str) -> dict[int, _Span]:
        """The assistant turns, by place in the conversation, that stand in this text as they were said."""
        spans: dict[int, _Span] = {}
        behind = 0
        for place, message in enumerate(talk.messages):
            span = self._span(talk, place, text) if message.get("role") == "assistant" else None
            if span is not None and span.start >= behind:
                spans[place] = span
                behind = span.end
        return spans

    def _span(self, talk: _Talk, place: int, text: str) -> _Span | None:
        try:
            before = self._text(talk.until(place), prompt=True)
            after = self._text(talk.until(place + 1))
        except Unsupported:
            return None
        if not (text.startswith(after) and after.startswith(before)):
            return None
        turn = after[len(before) :].rstrip()
        closed = turn.endswith(tuple(self._tokenizer.special))
        end = len(before) + len(turn) if closed else len(after)
        return _Span(len(before), end) if end > len(before) else None

    def _turn(self, talk: _Talk) -> Rendered:
        """The last turn alone behind its own prompt."""
        last = len(talk.messages) - 1
        text = self._text(talk)
        spans = self._spans(talk, text)
        if last not in spans:
            raise Unsupported("this conversation: an assistant message is not rendered behind its prompt")
        return self._encoded(talk, text, spans, trained=frozenset((last,)))

    def _encoded(
        self, talk: _Talk, text: str, spans: dict[int, _Span], *, trained: frozenset[int]
    ) -> Rendered:
        """The one rule of where text is cut before it is encoded."""
        edges: list[tuple[int, bool]] = []
        for place, span in spans.items():
            edges += [(span.start, False), (span.end, place in trained)]
        ids: list[int] = []
        weights: list[int] = []
        done = 0
        for end, weighs in (*edges, (len(text), False)):
            piece = self._tokenizer.encode(text[done:end], mark=talk.mark, first=not ids)
            ids += piece
            weights += [int(weighs)] * len(piece)
            done = end
        return Rendered(ids, weights)

    def _end_of_turn(self) -> str | None:
        """The special token with which the template closes an assistant's turn."""
        try:
            text = self._text(self._talk(_EXCHANGE, None)).rstrip()
        except Unsupported:
            return None
        return max(filter(text.endswith, self._tokenizer.special), key=len, default=None)


def _is_trained(message: JsonObject) -> bool:
    return message.get("role") == "assistant" and message.get("weight", 1) != 0


def _check_nothing_is_lost(talk: _Talk, text: str) -> None:
    """Some templates leave out, without a word, a system message that is not the first."""
    for message in talk.messages:
        role, content = message.get("role"), message.get("content")
        if role in ("system", "user") and isinstance(content, str) and content.strip() not in text:
            raise Unsupported(f"a {role} message at its place in this conversation")


def _wording(error: Unsupported, start: str) -> str:
    return f"{start} template of base model does not support {error}"
