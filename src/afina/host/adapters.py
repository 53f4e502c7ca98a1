"""The adapters that requests name: loaded when first asked for, the least recently used makes room."""

import asyncio
from collections import OrderedDict
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

from afina.engine.engine import Engine
from afina.errors import NotFound

MOST = 64


class Adapters:
    """Which adapters answer requests, and how many requests are using each; the least recently used come first."""

    def __init__(self, engine: Engine, *, most: int = MOST):
        self.engine = engine
        self.most = most
        self.users: OrderedDict[str, int] = OrderedDict()
        self.leaving: set[str] = set()
        self.loading = asyncio.Lock()

    async def load(self, name: str, folder: Path) -> None:
        """Make `name` answer; nothing happens when it does already. Who asks meanwhile waits for the same."""
        async with self.loading:
            self.leaving.discard(name)
            if name not in self.users:
                await self.make_room()
                await self.engine.create_adapter(name, None, start=folder)
                self.users[name] = 0
            self.users.move_to_end(name)

    async def make_room(self) -> None:
        """Drop the least recently used adapters; those in use stay, even where they are too many."""
        while len(self.users) >= self.most and (idle := self.idle()):
            await self.drop(idle)

    def idle(self) -> str | None:
        """The least recently used of the adapters that nobody uses at the moment."""
        return next((name for name, users in self.users.items() if users == 0), None)

    async def unload(self, name: str) -> None:
        """Forget `name`, once its last request has been answered."""
        if self.users.get(name) == 0:
            await self.drop(name)
        elif name in self.users:
            self.leaving.add(name)

    async def drop(self, name: str) -> None:
        """Free an adapter's memory."""
        del self.users[name]
        self.leaving.discard(name)
        await self.engine.drop(name)

    @asynccontextmanager
    async def using(self, name: str) -> AsyncGenerator[None]:
        """Keep `name` loaded while a request runs."""
        if name not in self.users or name in self.leaving:
            raise NotFound(f"The model `{name}` is not loaded here.", param="model", code="model_not_found")
        self.users[name] += 1
        self.users.move_to_end(name)
        try:
            yield
        finally:
            self.users[name] -= 1
            if name in self.leaving and self.users[name] == 0:
                await self.drop(name)
