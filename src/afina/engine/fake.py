"""The engine's verbs without a model, for tests of what is built on them: no torch, no chance, no waiting.

The loss of an adapter falls with its steps, sampled ids count upwards from the prompt, folders are real files.
"""

import json
import math
from collections.abc import AsyncGenerator, Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from afina.engine.types import (
    AdamW,
    AdapterSpec,
    Batch,
    FullSpec,
    Logprobs,
    LossReport,
    SamplingParams,
    Sequence,
    StepReport,
    Token,
)
from afina.errors import InvalidRequest, NotFound


@dataclass(frozen=True, slots=True)
class FakeAdapter:
    """What a fake adapter has instead of weights: how often it was trained, and on how much since."""

    spec: AdapterSpec | FullSpec
    steps: int = 0
    pending: float = 0.0

    @property
    def loss(self) -> float:
        """What every supervised token costs now."""
        return 4.0 / (1 + self.steps)


class FakeEngine:
    """Has the verbs and properties of `Engine`; `calls` lists the verbs used and their adapters, in order."""

    vocab_size = 64
    max_positions = 256
    parameters = 1000
    device = "fake"

    def __init__(self) -> None:
        self.calls: list[tuple[str, str | None]] = []
        self.rows = 0
        self._held: dict[str, FakeAdapter] = {}

    @property
    def adapters(self) -> tuple[str, ...]:
        """Names of the adapters that are loaded."""
        return tuple(self._held)

    async def close(self) -> None:
        """Forget everything."""
        self._held.clear()

    async def create_adapter(
        self, adapter: str, spec: AdapterSpec | FullSpec | None, start: Path | None = None
    ) -> None:
        """A new adapter, or one from a folder written by `save`; with its state there, its steps are continued."""
        self.calls.append(("create_adapter", adapter))
        if adapter in self._held:
            raise InvalidRequest(f"There is an adapter named {adapter} already; drop it first.")
        if start is not None:
            self._held[adapter] = _read(start)
        elif spec is not None:
            self._held[adapter] = FakeAdapter(spec)
        else:
            raise InvalidRequest("An adapter needs a spec or a folder to start from.")

    async def forward_backward(self, adapter: str, batch: Batch, loss: Callable[..., object]) -> LossReport:
        """The loss of the adapter's steps so far; `loss` is not called."""
        self.calls.append(("forward_backward", adapter))
        held = self._adapter(adapter)
        weight = float(sum(s.weights[i] for s in batch.sequences for i in s.supervised))
        if weight == 0:
            raise InvalidRequest(
                "A batch needs a token with a weight above 0, and a finite denominator above 0."
            )
        self._held[adapter] = replace(held, pending=held.pending + weight)
        sums = tuple(-held.loss * len(s.supervised) for s in batch.sequences if s.supervised)
        return LossReport(mean=held.loss, accuracy=1 - held.loss / 4, weight=weight, sums=sums)

    async def optim_step(self, adapter: str, params: AdamW) -> StepReport:
        """One step further; a learning rate that is not finite makes a step that is not."""
        self.calls.append(("optim_step", adapter))
        held = self._adapter(adapter)
        if held.pending == 0:
            raise InvalidRequest("There are no gradients: call forward_backward before optim_step.")
        finite = math.isfinite(params.lr)
        self._held[adapter] = replace(held, steps=held.steps + int(finite), pending=0.0)
        return StepReport(step=self._held[adapter].steps, grad_norm=held.loss, finite=finite)

    async def logprobs(
        self, adapter: str | None, sequences: list[Sequence], *, token_budget: int = 2048, top: int = 0
    ) -> list[Logprobs]:
        """Minus the loss for every supervised token; even ids are arg-max, and odd ones come behind the next."""
        self.calls.append(("logprobs", adapter))
        value = -4.0 if adapter is None else -self._adapter(adapter).loss
        return [self._scored([s.ids[i] for i in s.supervised], value, top) for s in sequences]

    def _scored(self, ids: list[int], value: float, top: int) -> Logprobs:
        ahead = [id % 2 for id in ids]
        likeliest = tuple(
            tuple(((id + more + k) % self.vocab_size, value + more - k) for k in range(top))
            for id, more in zip(ids, ahead, strict=True)
        )
        return Logprobs((value,) * len(ids), tuple(not more for more in ahead), likeliest if top else ())

    async def sample(
        self, adapter: str | None, prompt: list[int], params: SamplingParams
    ) -> AsyncGenerator[Token, None]:
        """Each id is the one before plus one, within the vocabulary."""
        self.calls.append(("sample", adapter))
        if adapter is not None:
            self._adapter(adapter)
        self.rows += 1
        try:
            room = min(params.max_tokens, self.max_positions - len(prompt))
            for n in range(1, room + 1):
                token = (prompt[-1] + n) % self.vocab_size
                stop = token in params.stop_ids
                top = tuple(((token + k) % self.vocab_size, -1.0 - k) for k in range(params.logprobs or 0))
                yield Token(token, -1.0, top, "stop" if stop else "length" if n == room else None)
                if stop:
                    return
        finally:
            self.rows -= 1

    async def rollouts(
        self, adapter: str | None, prompts: list[list[int]], params: list[SamplingParams]
    ) -> list[list[Token]]:
        """All samples, one after the other."""
        asked = zip(prompts, params, strict=True)
        return [[token async for token in self.sample(adapter, *one)] for one in asked]

    async def save(self, adapter: str, path: Path, state: bool = False) -> None:
        """The files of a PEFT folder, holding JSON that `create_adapter` reads again."""
        self.calls.append(("save", adapter))
        held = self._adapter(adapter)
        path.mkdir(parents=True, exist_ok=True)
        (path / "adapter_config.json").write_text(json.dumps(asdict(held.spec)), "utf-8")
        (path / "adapter_model.safetensors").write_text(json.dumps({"steps": held.steps}), "utf-8")
        if state:
            (path / "state.json").write_text(json.dumps({"steps": held.steps}), "utf-8")

    async def drop(self, adapter: str) -> None:
        """Forget an adapter."""
        self.calls.append(("drop", adapter))
        self._adapter(adapter)
        del self._held[adapter]

    def _adapter(self, name: str) -> FakeAdapter:
        if name not in self._held:
            raise NotFound(f"No adapter named {name} is loaded.")
        return self._held[name]


def _read(folder: Path) -> FakeAdapter:
    """The weights alone start the optimizer's count anew, as with the real one; the fake's loss starts with it."""
    try:
        fields = json.loads((folder / "adapter_config.json").read_text("utf-8"))
        targets = fields["targets"]
        spec = AdapterSpec(**fields | {"targets": None if targets is None else tuple(targets)})
        state = folder / "state.json"
        steps = json.loads(state.read_text("utf-8"))["steps"] if state.is_file() else 0
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InvalidRequest(
            "adapter_config.json is missing or is not the configuration of an adapter."
        ) from error
    return FakeAdapter(spec, steps)
