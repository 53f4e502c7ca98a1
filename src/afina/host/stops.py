"""Cuts text at stop strings without letting any part of one out."""

from collections import deque

from afina.data.tokenizer import StreamDecoder
from afina.engine.types import Token


class StopStrings:
    """Feed pieces of text, get what may be shown; after a stop string nothing more comes.

    The one that is complete first counts, so that it makes no difference how the text is cut into pieces.
    """

    def __init__(self, stops: list[str]):
        self.stops = stops
        self.held = ""
        self.found = False

    def feed(self, text: str) -> str:
        """The text that is certain now: not a stop string, nor the possible beginning of one."""
        if self.found:
            return ""
        self.held += text
        if (place := self.first_stop()) is not None:
            self.found = True
            shown, self.held = self.held[:place], ""
            return shown
        keep = max((overlap(self.held, stop) for stop in self.stops), default=0)
        shown, self.held = self.held[: len(self.held) - keep], self.held[len(self.held) - keep :]
        return shown

    def first_stop(self) -> int | None:
        """Where the stop string begins that ends first; of several that end there, the longest."""
        found = [(place + len(stop), place) for stop in self.stops if (place := self.held.find(stop)) >= 0]
        return min(found)[1] if found else None

    def flush(self) -> str:
        """What was held back, now that nothing follows."""
        shown, self.held = self.held, ""
        return shown


def overlap(text: str, stop: str) -> int:
    """The length of the longest end of `text` that begins `stop`."""
    longest = min(len(text), len(stop) - 1)
    return next((size for size in range(longest, 0, -1) if text.endswith(stop[:size])), 0)


class Text:
    """One choice's text as it grows, and which of its tokens are in it."""

    def __init__(self, decoder: StreamDecoder, stops: StopStrings):
        self.decoder = decoder
        self.stops = stops
        self.pending: deque[tuple[int, Token]] = (
            deque()
        )  # tokens whose text is held back, with where it begins
        self.decoded = 0
        self.shown = 0

    @property
    def stopped(self) -> bool:
        """Whether a stop string has ended it."""
        return self.stops.found

    def feed(self, token: Token) -> tuple[str, list[Token]]:
        """The text that is certain with this token, and the tokens that are now known to belong to the text."""
        self.pending.append((self.decoded, token))
        new = self.decoder.feed(token.id)
        self.decoded += len(new)
        text = self.stops.feed(new)
        if token.finish and not self.stopped:
            text += self.stops.feed(self.decoder.flush())
        if token.finish and not self.stopped:
            text += self.stops.flush()
        self.shown += len(text)
        return text, self.certain(ended=token.finish is not None and not self.stopped)

    def certain(self, *, ended: bool) -> list[Token]:
        """Tokens that begin within the text shown; all that are left when it ends by itself."""
        found: list[Token] = []
        while self.pending and (ended or self.pending[0][0] < self.shown):
            found.append(self.pending.popleft()[1])
        return found
