"""A host's choices as those of legacy completions: text, and tokens with their places in it."""

import codecs
from collections.abc import Iterable
from math import inf

from afina.data.render import Renderer
from afina.schemas.completions import TOKEN_ID, CompletionChoice, CompletionLogprobs
from afina.schemas.text_completions import TextChoice, TextLogprobs
from afina.serving.texts import AskedText, Text


class TextReader:
    """Reads one choice as it comes, in one piece or in many."""

    def __init__(self, renderer: Renderer, asked: AskedText, text: Text):
        self.renderer = renderer
        self.alternatives = asked.alternatives
        self.hidden = text.hidden if asked.completion.echo else 0  # tokens before the prompt's own
        self.offset = 0 if asked.completion.echo else text.length
        self.decoder = codecs.getincrementaldecoder("utf-8")("replace")

    def feed(self, piece: CompletionChoice, index: int) -> TextChoice:
        """What a piece adds."""
        given = None if self.alternatives is None else piece.logprobs
        logprobs = None if given is None else self.logprobs(given)
        return TextChoice(text=piece.text, index=index, logprobs=logprobs, finish_reason=piece.finish_reason)

    def logprobs(self, given: CompletionLogprobs) -> TextLogprobs:
        """The entries of a piece; what stands before the prompt is left out."""
        skip, self.hidden = self.hidden, 0
        ids = [id_of(token) for token in given.tokens[skip:]]
        values = given.token_logprobs[skip:]
        tops = [
            None if value is None else self.top(top or {}, id, value)
            for id, value, top in zip(ids, values, given.top_logprobs[skip:], strict=True)
        ]
        return TextLogprobs(
            tokens=[spelt(self.renderer, id) for id in ids],
            token_logprobs=values,
            top_logprobs=tops if self.alternatives else None,
            text_offset=[self.place(id) for id in ids],
        )

    def top(self, given: dict[str, float], id: int, value: float) -> dict[str, float]:
        """The alternatives, likeliest first, and the token itself; of two that are spelt alike, the likelier."""
        likeliest = sorted(given.items(), key=lambda other: -other[1])[: self.alternatives]
        found: dict[str, float] = {}
        for other, logprob in (*((id_of(token), logprob) for token, logprob in likeliest), (id, value)):
            found.setdefault(spelt(self.renderer, other), logprob)
        return found

    def place(self, id: int) -> int:
        """Where a token begins; a part of a character begins where the character does."""
        start = self.offset
        self.offset += len(self.decoder.decode(self.renderer.bytes_of(id)))
        return start


def id_of(token: str) -> int:
    """The id that a host writes for a token."""
    return int(token.removeprefix(TOKEN_ID))


def spelt(renderer: Renderer, id: int) -> str:
    """A token in OpenAI's way: `bytes:` and their values where they are no characters."""
    said = renderer.bytes_of(id)
    if not said:
        return renderer.decode([id], skip_special=False)
    try:
        return said.decode()
    except UnicodeDecodeError:
        return "bytes:" + "".join(f"\\x{byte:02x}" for byte in said)


def best(choices: Iterable[CompletionChoice], asked: AskedText) -> list[CompletionChoice]:
    """The `n` likeliest of each prompt's candidates, by the log-probability of a token; all where all are wanted."""
    found = sorted(choices, key=lambda choice: choice.index)
    if asked.candidates == asked.n:
        return found
    kept: list[CompletionChoice] = []
    for place, text in enumerate(asked.texts):
        group = found[place * asked.candidates : (place + 1) * asked.candidates]
        prompt = len(text.ids) if asked.completion.echo else 0
        kept += sorted(group, key=lambda choice: -likelihood(choice, prompt))[: asked.n]
    return kept


def likelihood(choice: CompletionChoice, prompt: int) -> float:
    """The mean log-probability of a choice's own tokens, which come behind those of the prompt."""
    assert choice.logprobs is not None
    values = [value for value in choice.logprobs.token_logprobs[prompt:] if value is not None]
    return sum(values) / len(values) if values else -inf
