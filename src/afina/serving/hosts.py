"""HTTP to the hosts: find the one that has a base, wait for it, load adapters into it. Knows no chat."""

import asyncio
import logging
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
from pydantic import BaseModel

from afina.blobs import Blobs
from afina.errors import Unavailable
from afina.schemas.completions import Completion, CompletionRequest, UnloadAdapter
from afina.schemas.models import Model
from afina.serving.adapters import Adapters
from afina.serving.meter import Meter, Tally, payer
from afina.serving.names import Target
from afina.serving.refusals import check, chunk, lost
from afina.store import hosts
from afina.store.database import Database

POLL_SECONDS = (0.05, 1.0)
TIMEOUT = httpx.Timeout(None, connect=5.0)
LIMITS = httpx.Limits(max_connections=None, max_keepalive_connections=32)

log = logging.getLogger(__name__)


class Hosts:
    """The clients of all hosts, by address."""

    def __init__(self, database: Database, blobs: Blobs, *, patience: float, loaded: bool = True):
        self.database = database
        self.patience = patience
        self.loaded = loaded  # whether there are workers, which start hosts
        self.adapters = Adapters(blobs)
        self.meter = Meter(database)
        self.clients: dict[str, httpx.AsyncClient] = {}
        self.silent_until: dict[str, float] = {}  # when a base's next wish is due: most chats only read

    async def close(self) -> None:
        """Hang up on all hosts."""
        await self.meter.close()
        clients, self.clients = list(self.clients.values()), {}
        for client in clients:
            await client.aclose()

    async def hang_up_on_the_gone(self) -> None:
        """Close the clients of hosts whose sockets are not there any more: each host has a socket of its own."""
        gone = [address for address in self.clients if not may_listen(address)]
        for client in [self.clients.pop(address) for address in gone]:
            await client.aclose()

    async def complete(self, target: Target, request: CompletionRequest) -> Completion:
        """A whole reply, with its tokens counted; when the host dies under it, its successor is asked once more."""
        reply = await self.answer(target, request)
        if reply.usage is not None:
            await self.meter.count("completions", target.resolved.id, reply.usage)
        return reply

    async def answer(self, target: Target, request: CompletionRequest) -> Completion:
        """The reply of a host, or of the one after it."""
        try:
            return await self.attempt(target, request)
        except httpx.TransportError as error:
            log.warning("base=%s the host was lost (%s); asking again", target.base.id, type(error).__name__)
        try:
            return await self.attempt(target, request)
        except httpx.TransportError:
            raise lost() from None

    async def attempt(self, target: Target, request: CompletionRequest) -> Completion:
        """One try of a whole reply."""
        async with self.answering(target, request) as response:
            return Completion.model_validate_json(await response.aread(), extra="ignore")

    async def stream(self, target: Target, request: CompletionRequest) -> AsyncGenerator[Completion]:
        """A reply chunk by chunk; leaving the iterator early ends the generation, and what came is counted."""
        tally = Tally(self.meter, target.resolved.id, request)
        try:
            async with self.answering(target, request) as response:
                async for line in response.aiter_lines():
                    data = line.removeprefix("data:").strip()
                    if data == "[DONE]":
                        return
                    if line.startswith("data:"):
                        part = chunk(data, request.response_format)
                        await tally.add(part)
                        yield part
        except httpx.TransportError:
            raise lost() from None
        finally:
            tally.close()
        raise lost()

    @asynccontextmanager
    async def answering(self, target: Target, request: CompletionRequest) -> AsyncGenerator[httpx.Response]:
        """The open reply to a request; an adapter that the host does not know is loaded first."""
        base, request = target.base.id, salted(request)
        async with self.post(base, "/v1/completions", request) as response:
            if response.status_code != 404 or target.tuned is None:
                await check(response, request.response_format)
                yield response
                return
        load = await asyncio.to_thread(self.adapters.verified, target.tuned)
        async with self.post(base, "/v1/load_lora_adapter", load) as response:
            await check(response)
        async with self.post(base, "/v1/completions", request) as response:
            await check(response, request.response_format)
            yield response

    @asynccontextmanager
    async def post(self, base: str, path: str, body: BaseModel) -> AsyncGenerator[httpx.Response]:
        """POST to the host of a base, which is waited for; a connection refused is not yet a try."""
        response = await self.send(base, path, body)
        try:
            yield response
        finally:
            await response.aclose()

    async def send(self, base: str, path: str, body: BaseModel) -> httpx.Response:
        """The reply's head, from whichever host is the first to accept the connection."""
        pause, most = POLL_SECONDS
        deadline = time.monotonic() + self.patience
        while True:
            if address := await asyncio.to_thread(self.address, base):
                if address not in self.clients:
                    await self.hang_up_on_the_gone()
                client = self.client(address)
                message = client.build_request(
                    "POST", path, content=body.model_dump_json(), headers={"content-type": "application/json"}
                )
                try:
                    return await client.send(message, stream=True)
                except (httpx.ConnectError, httpx.ConnectTimeout):
                    log.info("base=%s address=%s does not answer", base, address)
            if not self.loaded:
                raise nobody_loads(base)
            if time.monotonic() > deadline:
                raise Unavailable(
                    f"The model {base} is still being loaded; try again.", code="model_loading", retry_after=5
                )
            await asyncio.sleep(pause)
            pause = min(most, pause * 1.5)

    def address(self, base: str) -> str | None:
        """Where a ready host of the base listens; asking says, now and then, that it is wanted."""
        try:
            self.want(base)
        except Unavailable:  # the disk may be full: a host that is there answers all the same
            if (ready := self.ready_address(base)) is None:
                raise
            return ready
        return self.ready_address(base)

    def want(self, base: str) -> None:
        """Say that a base is wanted, unless that was said a moment ago."""
        if time.monotonic() >= self.silent_until.get(base, 0.0):
            with self.database.system() as system:
                hosts.want(system, base)
            self.silent_until[base] = time.monotonic() + hosts.FRESH_SECONDS

    def client(self, address: str) -> httpx.AsyncClient:
        """The client of one address: `unix:/path/to/socket` or `http://host:port`."""
        if address not in self.clients:
            socket = address.removeprefix("unix:")
            local = socket != address
            self.clients[address] = httpx.AsyncClient(
                base_url="http://host" if local else address,
                transport=httpx.AsyncHTTPTransport(uds=socket if local else None, limits=LIMITS),
                timeout=TIMEOUT,
                trust_env=False,
            )
        return self.clients[address]

    async def forget(self, model: Model) -> None:
        """Have the host drop a deleted model's adapter, where it is loaded; requests in flight finish first."""
        address = await asyncio.to_thread(self.ready_address, model.base)
        if address is None:
            return
        try:
            await self.client(address).post(
                "/v1/unload_lora_adapter", json=UnloadAdapter(lora_name=model.key).model_dump()
            )
        except httpx.TransportError as error:
            log.info("base=%s no host to unload from (%s)", model.base, type(error).__name__)

    def ready_address(self, base: str) -> str | None:
        """Where a ready host listens, without wanting one."""
        with self.database.system(read=True) as system:
            return hosts.address(system, base)


def salted(request: CompletionRequest) -> CompletionRequest:
    """Prompts are shared within a project: from its `cached_tokens`, nobody learns what others have asked."""
    paying = payer.get()
    return request if paying is None else request.model_copy(update={"cache_salt": paying.project_id})


def nobody_loads(base: str) -> Unavailable:
    """Waiting would not help."""
    return Unavailable(
        f"The model {base} is not loaded, and this server has no worker that could load it: "
        "it was started with --workers 0.",
        code="model_not_loaded",
        retry_after=None,
    )


def may_listen(address: str) -> bool:
    """Whether a host may be at this address; of one on another machine that cannot be seen."""
    socket = address.removeprefix("unix:")
    return socket == address or Path(socket).exists()


def adapter_name(target: Target) -> str:
    """What the host calls the target: a tuned model by the key of its files, which no other ever has."""
    return target.tuned.key if target.tuned else target.base.id
