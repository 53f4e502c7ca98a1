"""The child's side of a training leg: steps are taken when the parent asks for them, and each is timed."""

import hashlib
import time
from dataclasses import dataclass
from multiprocessing.connection import Connection

import numpy as np
from numpy.typing import NDArray

from bench.legs import peak_bytes


@dataclass(frozen=True)
class Step:
    """One optimizer step: its duration, loss, and a hash of the token ids and the places that were supervised.

    `sampling` is the part of it in which replies were tried out and graded, where a method does that.
    """

    seconds: float
    loss: float
    digest: str
    sampling: float = 0.0


@dataclass(frozen=True)
class Window:
    """The steps of one turn; `computed` counts padding, `real` does not."""

    steps: tuple[Step, ...]
    real: int
    computed: int
    peak: int

    @property
    def seconds(self) -> float:
        """How long the steps took together."""
        return sum(step.seconds for step in self.steps)

    @property
    def sampling(self) -> float:
        """How long trying out and grading took in them."""
        return sum(step.sampling for step in self.steps)


@dataclass(frozen=True)
class Tokens:
    """What one step was given: a stream of ids without padding, and which of them are predicted."""

    ids: NDArray[np.int64]
    supervised: NDArray[np.bool_]
    computed: int

    @property
    def digest(self) -> str:
        """Of ids and places, in their order."""
        data = self.ids.astype(np.int32).tobytes() + self.supervised.astype(np.uint8).tobytes()
        return hashlib.sha256(data).hexdigest()[:16]


class Ended(Exception):
    """The parent wants no more steps."""


class Pace:
    """Stands in a training loop. `wait` before the first step, `stepped` after each."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._wanted = 0
        self._steps: list[Step] = []
        self._real = self._computed = 0
        self._since = 0.0

    def wait(self) -> None:
        """Block until steps are asked for; raises `Ended` when there will be none."""
        wanted = self._connection.recv()
        if wanted is None:
            raise Ended
        self._wanted, self._steps = wanted, []
        self._real = self._computed = 0
        self._since = time.perf_counter()

    def stepped(self, loss: float, tokens: Tokens, *, now: float, sampling: float = 0.0) -> float:
        """Note a step that ended at `now`; the seconds for which the loop was held up afterwards."""
        self._steps.append(Step(now - self._since, loss, tokens.digest, sampling))
        self._real += len(tokens.ids)
        self._computed += tokens.computed
        if len(self._steps) == self._wanted:
            self._connection.send(Window(tuple(self._steps), self._real, self._computed, peak_bytes()))
            self.wait()
        self._since = time.perf_counter()
        return self._since - now
