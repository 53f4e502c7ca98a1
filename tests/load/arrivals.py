"""Requests that arrive at a constant rate, whether or not the earlier ones have been answered."""

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import httpx

Ask = Callable[[int], httpx.Request]


@dataclass(frozen=True)
class Replies:
    """How long each reply took, in seconds from when its request was due, and how many were no success."""

    seconds: list[float]
    failures: int

    def at(self, percent: float) -> float:
        """The reply time that this share of all replies did not exceed, in milliseconds."""
        ordered = sorted(self.seconds)
        return 1000 * ordered[min(len(ordered) - 1, int(len(ordered) * percent / 100))]

    def __str__(self) -> str:
        figures = "  ".join(f"p{percent} {self.at(percent):6.1f} ms" for percent in (50, 95, 99))
        return f"{figures}  of {len(self.seconds)}, {self.failures} failed"


async def at_rate(client: httpx.AsyncClient, ask: Ask, *, count: int, per_second: float) -> Replies:
    """Send `count` requests; one that waits for its turn on this side counts from when it was due."""
    begun = time.monotonic()
    replies = await asyncio.gather(*(one(client, ask(n), begun + n / per_second) for n in range(count)))
    return Replies([seconds for seconds, _ in replies], sum(not good for _, good in replies))


async def one(client: httpx.AsyncClient, request: httpx.Request, due: float) -> tuple[float, bool]:
    """How long after its time a request was answered, and whether well."""
    await asyncio.sleep(max(0.0, due - time.monotonic()))
    try:
        reply = await client.send(request)
    except httpx.TransportError:
        return time.monotonic() - due, False
    return time.monotonic() - due, reply.status_code == 200


def together(parts: Sequence[Replies]) -> Replies:
    """The replies of several rounds as one."""
    seconds = [each for part in parts for each in part.seconds]
    return Replies(seconds, sum(part.failures for part in parts))
