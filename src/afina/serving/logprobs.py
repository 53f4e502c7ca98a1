"""A host's log-probabilities as chat's: an entry for each token of the content, with its bytes."""

from collections import deque

from afina.data.render import Renderer
from afina.schemas.chat_replies import Alternative, ChoiceLogprobs, TokenLogprob
from afina.schemas.completions import TOKEN_ID, CompletionLogprobs


class Spelling:
    """Spells tokens out; `most` alternatives to each."""

    def __init__(self, renderer: Renderer, *, most: int):
        self.renderer = renderer
        self.most = most

    def entries(self, logprobs: CompletionLogprobs) -> list[TokenLogprob]:
        """What a host says, without the tokens that put nothing into the text."""
        found = zip(logprobs.tokens, logprobs.token_logprobs, logprobs.top_logprobs, strict=True)
        spelt = (self.entry(token, value or 0.0, top or {}) for token, value, top in found)
        return [entry for entry in spelt if entry.bytes]

    def entry(self, token: str, value: float, top: dict[str, float]) -> TokenLogprob:
        """One token with the likeliest ones in its place, of which special tokens have no text."""
        likeliest = sorted(top.items(), key=lambda other: -other[1])[: self.most]
        alternatives = [self.alternative(other, logprob) for other, logprob in likeliest]
        return TokenLogprob(**dict(self.alternative(token, value)), top_logprobs=alternatives)

    def alternative(self, token: str, value: float) -> Alternative:
        """A token by its id; bytes that are no character are escaped in its text."""
        said = self.renderer.bytes_of(int(token.removeprefix(TOKEN_ID)))
        return Alternative(token=said.decode("utf-8", "backslashreplace"), bytes=list(said), logprob=value)


class ContentLogprobs:
    """The entries of a choice whose content may leave out a part of its text, namely calls."""

    def __init__(self, spelling: Spelling):
        self.spelling = spelling
        self.pending: deque[tuple[int, TokenLogprob]] = deque()  # with where it begins, in bytes
        self.said = 0
        self.shown = 0

    def feed(self, logprobs: CompletionLogprobs | None, text: str, *, all_shown: bool) -> ChoiceLogprobs:
        """The entries of `text`, which is what the content now has more; all that are left where no call is."""
        for entry in [] if logprobs is None else self.spelling.entries(logprobs):
            self.pending.append((self.said, entry))
            self.said += len(entry.bytes)
        self.shown += len(text.encode())
        found: list[TokenLogprob] = []
        while self.pending and (all_shown or self.pending[0][0] < self.shown):
            found.append(self.pending.popleft()[1])
        return ChoiceLogprobs(content=found)
