"""One frozen base model and any number of adapters behind eight verbs; token ids in, token ids out."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Generator
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import TypeVar

import torch

from afina.engine import adapters, full, model, train
from afina.engine.adapters import Adapter
from afina.engine.losses import Loss
from afina.engine.sample import Row, Sampler
from afina.engine.scheduler import Scheduler
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

T = TypeVar("T")


class Engine:
    """Verbs may be awaited from any number of coroutines; results do not depend on who else is served.

    Requests of one adapter run in the order in which they were made. Failures reach the caller who asked, as
    exceptions, and leave everybody else untouched.
    """

    def __init__(self, base: model.Model, scheduler: Scheduler) -> None:
        self._model = base
        self._scheduler = scheduler
        self._adapters: dict[str, Adapter] = {}
        self._whole: Adapter | None = None  # what trains the model's own weights
        self._sampler = Sampler(base)
        scheduler.serve(self._sampler)

    @classmethod
    async def open(
        cls, base: Path, *, dtype: str = "float32", threads: int | None = None, device: str = "cpu"
    ) -> "Engine":
        """Load a base model's directory on a new device thread, where torch has `threads` threads of its own."""

        def work() -> model.Model:
            if threads is not None:
                torch.set_num_threads(threads)
            return model.load(base, dtype=dtype, device=device)

        scheduler = Scheduler()
        try:
            return cls(await asyncio.wrap_future(scheduler.submit(None, _once(work))), scheduler)
        except BaseException:
            scheduler.close()
            raise

    async def close(self) -> None:
        """Stop after the unit of work at hand; everyone who still waits gets Unavailable."""
        await asyncio.to_thread(self._scheduler.close)

    @property
    def vocab_size(self) -> int:
        """Ids are below it."""
        return self._model.vocab_size

    @property
    def max_positions(self) -> int:
        """The base model's context, in tokens."""
        return self._model.max_positions

    @property
    def parameters(self) -> int:
        """How many numbers the base model has."""
        return self._model.parameters

    @property
    def device(self) -> str:
        """What computes: `cpu`, `cuda`."""
        return str(self._model.device)

    @property
    def adapters(self) -> tuple[str, ...]:
        """Names of the adapters that are loaded."""
        return tuple(self._adapters)

    @property
    def rows(self) -> int:
        """How many samples are being made or wait for a place."""
        return self._sampler.live

    async def create_adapter(
        self, adapter: str, spec: AdapterSpec | FullSpec | None, start: Path | None = None
    ) -> None:
        """Make an adapter: new from `spec`, or from a PEFT folder `start`, whose shape a spec must match.

        With a `FullSpec` it is the model itself, as it is or as in a model's folder `start`; no other adapter may be
        here before it or after it. A folder saved with its state continues where it was: optimizer, step, generator.
        """
        if spec is None and start is None:
            raise InvalidRequest("An adapter needs a spec or a folder to start from.")

        def work() -> None:
            if adapter in self._adapters:
                raise InvalidRequest(f"There is an adapter named {adapter} already; drop it first.")
            if self._whole is not None or (isinstance(spec, FullSpec) and self._adapters):
                raise InvalidRequest("Who trains all weights of a model has it alone: open another engine.")
            self._adapters[adapter] = self._made(spec, start)

        await self._do(adapter, work)

    async def forward_backward(self, adapter: str, batch: Batch, loss: Loss) -> LossReport:
        """Add the gradients of one batch to the adapter's; on failure or cancellation it has none left."""

        def learn(held: Adapter) -> Generator[None, None, LossReport]:
            return train.forward_backward(self._model, held, batch, loss, breathe=self._scheduler.breathe)

        return await self._turns(adapter, learn)

    async def optim_step(self, adapter: str, params: AdamW) -> StepReport:
        """Apply the gathered gradients and forget them; what is not finite is not applied, and reported."""
        return await self._do(adapter, lambda: self._adapter(adapter).step(params))

    async def logprobs(
        self, adapter: str | None, sequences: list[Sequence], *, token_budget: int = 2048, top: int = 0
    ) -> list[Logprobs]:
        """Score the supervised tokens of each sequence, with `top` alternatives to each; None is the base model."""
        batch = Batch(tuple(sequences), token_budget)

        def score(held: Adapter | None) -> Generator[None, None, list[Logprobs]]:
            return train.logprobs(self._model, held, batch, top=top, breathe=self._scheduler.breathe)

        if adapter is None:
            self._check_base()
            return await self._wait(None, score(None))
        return await self._turns(adapter, score)

    async def sample(
        self, adapter: str | None, prompt: list[int], params: SamplingParams
    ) -> AsyncGenerator[Token, None]:
        """Continue a prompt, token by token; closing the iterator frees its place.

        The adapter is used as it is at each token: finish sampling before training it further.
        """
        loop, arrived = asyncio.get_running_loop(), asyncio.Queue[Token | Exception]()

        def deliver(item: Token | Exception) -> None:
            with suppress(RuntimeError):  # The loop is closed: nobody listens any more.
                loop.call_soon_threadsafe(arrived.put_nowait, item)

        row = Row(self._owner(adapter), list(prompt), params, deliver)
        try:
            self._sampler.add(row)
            self._scheduler.wake()
            while True:
                item = await arrived.get()
                if isinstance(item, Exception):
                    raise item
                yield item
                if item.finish is not None:
                    return
        finally:
            row.dropped = True

    async def rollouts(
        self, adapter: str | None, prompts: list[list[int]], params: list[SamplingParams]
    ) -> list[list[Token]]:
        """Continue prompts to their ends, each with its parameters; they begin together, and equal ones as one.

        Being cancelled frees all their places.
        """
        held = self._owner(adapter)
        loop, ended = asyncio.get_running_loop(), asyncio.Queue[Token | Exception]()
        made: list[list[Token]] = [[] for _ in prompts]

        def into(tokens: list[Token]) -> Callable[[Token | Exception], None]:
            def deliver(item: Token | Exception) -> None:
                if isinstance(item, Token):
                    tokens.append(item)
                if isinstance(item, Exception) or item.finish is not None:
                    with suppress(RuntimeError):  # The loop is closed: nobody listens any more.
                        loop.call_soon_threadsafe(ended.put_nowait, item)

            return deliver

        asked = zip(prompts, params, made, strict=True)
        rows = [Row(held, list(prompt), how, into(tokens)) for prompt, how, tokens in asked]
        try:
            self._sampler.add(*rows)
            self._scheduler.wake()
            for _ in rows:
                if isinstance(item := await ended.get(), Exception):
                    raise item
            return made
        finally:
            for row in rows:
                row.dropped = True

    async def save(self, adapter: str, path: Path, state: bool = False) -> None:
        """Write a PEFT folder or a model's, durably; with `state` also what training needs to go on bit by bit."""
        rest = await self._do(adapter, lambda: self._written(self._adapter(adapter), path, state=state))
        await asyncio.to_thread(rest)

    async def drop(self, adapter: str) -> None:
        """Forget an adapter; samples under way keep it until they end."""

        def work() -> None:
            self._adapter(adapter)
            del self._adapters[adapter]

        await self._do(adapter, work)

    def _made(self, spec: AdapterSpec | FullSpec | None, start: Path | None) -> Adapter:
        match spec:
            case FullSpec():
                self._whole = full.create(self._model, spec, start)
                return self._whole
            case AdapterSpec() if start is None:
                return adapters.create(self._model, spec)
            case _:
                assert start is not None
                return adapters.load(self._model, spec, start)

    def _written(self, held: Adapter, path: Path, *, state: bool) -> Callable[[], None]:
        """Write an adapter as far as others must not train meanwhile; what is left to do for it."""
        if held is self._whole:
            full.write(self._model, held, path, state=state)
            return partial(full.sync, path)
        return partial(adapters.write, path, adapters.snapshot(held, state=state))

    def _owner(self, adapter: str | None) -> Adapter | None:
        """The adapter of that name; None is the base model."""
        if adapter is not None:
            return self._adapter(adapter)
        self._check_base()
        return None

    def _check_base(self) -> None:
        if self._whole is not None and self._whole.steps:
            raise InvalidRequest("The base model's own weights have been trained here: open another engine.")

    def _adapter(self, name: str) -> Adapter:
        try:
            return self._adapters[name]
        except KeyError:
            raise NotFound(f"No adapter named {name} is loaded.") from None

    async def _turns(self, adapter: str, start: Callable[[Adapter], Generator[None, None, T]]) -> T:
        """Run a generator of units; the adapter is looked up when its turn comes."""

        def work() -> Generator[None, None, T]:
            return (yield from start(self._adapter(adapter)))

        return await self._wait(adapter, work())

    async def _do(self, adapter: str, work: Callable[[], T]) -> T:
        return await self._wait(adapter, _once(work))

    async def _wait(self, key: str | None, work: Generator[None, None, T]) -> T:
        return await asyncio.wrap_future(self._scheduler.submit(key, work))


def _once(work: Callable[[], T]) -> Generator[None, None, T]:
    """A request of a single unit."""
    yield from ()
    return work()
