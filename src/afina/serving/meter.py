"""Who pays for tokens, and the rows that say so: written before a reply is whole, many replies in one transaction."""

import asyncio
import logging
from contextvars import ContextVar
from dataclasses import dataclass

from afina.errors import Unavailable
from afina.schemas.completions import Completion, CompletionRequest, CompletionUsage
from afina.schemas.usage import UsageKind
from afina.store import usage
from afina.store.database import Database
from afina.store.usage import Used

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Payer:
    """For whom a request is answered."""

    project_id: str
    key_id: str | None = None
    batch: bool = False


payer: ContextVar[Payer | None] = ContextVar("payer", default=None)  # of the request that is being answered


class Meter:
    """Counts what is used by whoever `payer` names, once for each reply."""

    def __init__(self, database: Database):
        self.database = database
        self.waiting: list[Used] = []
        self.turn = asyncio.Lock()
        self.tasks: set[asyncio.Task[None]] = set()

    def note(self, kind: UsageKind, model: str, counts: CompletionUsage) -> None:
        """Remember what was used; `settle` makes it a row. What nobody pays for is not counted."""
        if (paying := payer.get()) is None:
            return
        self.waiting.append(
            Used(
                project_id=paying.project_id,
                kind=kind,
                model=model,
                input_tokens=counts.prompt_tokens,
                output_tokens=counts.completion_tokens,
                cached_tokens=counts.cached_tokens,
                api_key_id=paying.key_id,
                batch=paying.batch,
            )
        )

    async def count(self, kind: UsageKind, model: str, counts: CompletionUsage) -> None:
        """A row for a reply, durable when this returns; who leaves meanwhile takes nobody's rows away."""
        self.note(kind, model, counts)
        await asyncio.shield(self.settle_later())

    async def settle(self) -> None:
        """Write what is waiting, with that of others; while one transaction commits, the next one gathers."""
        async with self.turn:
            some, self.waiting = self.waiting, []
            if some:
                await asyncio.to_thread(self.write, some)

    def write(self, some: list[Used]) -> None:
        """One transaction; where the database is busy or full, the rows wait for the next one."""
        try:
            with self.database.system() as system:
                usage.record(system, some)
        except Unavailable as error:
            log.warning("usage is written later rows=%d reason=%s", len(some), error.message)
            self.waiting += some

    def settle_later(self) -> asyncio.Task[None]:
        """Write what is waiting, also where whoever asks is cancelled and can wait for nothing."""
        task = asyncio.create_task(self.settle())
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)
        return task

    async def close(self) -> None:
        """Write the last rows."""
        await asyncio.gather(*self.tasks)
        await self.settle()


class Tally:
    """The tokens of one stream, also of one that nobody reads to its end."""

    def __init__(self, meter: Meter, model: str, request: CompletionRequest):
        self.meter = meter
        self.model = model
        self.prompt_tokens = sum(len(prompt) for prompt in request.prompts)
        self.completion_tokens = 0
        self.begun = self.counted = False

    async def add(self, part: Completion) -> None:
        """One chunk; the one with the usage is counted before anybody sees it."""
        self.begun = True
        self.completion_tokens += sum(len(choice.token_ids) for choice in part.choices)
        if part.usage is not None:
            self.counted = True
            await self.meter.count("completions", self.model, part.usage)

    def close(self) -> None:
        """The stream is over; where its usage never came, what came is counted."""
        if self.counted or not self.begun:
            return
        total = self.prompt_tokens + self.completion_tokens
        counts = CompletionUsage(
            prompt_tokens=self.prompt_tokens, completion_tokens=self.completion_tokens, total_tokens=total
        )
        self.meter.note("completions", self.model, counts)
        self.meter.settle_later()
