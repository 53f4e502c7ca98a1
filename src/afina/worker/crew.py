"""Works a list off, a few items at a time so that chats are served beside it. Knows not what is done with an item."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from typing import TypeVar

LOOK_SECONDS = 0.5
Item = TypeVar("Item")


async def work_off(
    items: Iterator[Item], do: Callable[[Item], Awaitable[None]], *, keep: Callable[[], bool], at_once: int
) -> None:
    """Do all items, or as many as are wanted.

    `keep` turns what was found into rows, and says whether more is wanted; what it raises ends the work. It is called
    in a thread, every so often and at the end, also where an item has broken the work.
    """
    crew = [asyncio.create_task(one_by_one(items, do)) for _ in range(at_once)]
    try:
        goes_on = True
        while goes_on:
            done, others = await asyncio.wait(crew, timeout=LOOK_SECONDS)
            for task in done:
                task.result()
            goes_on = await asyncio.to_thread(keep) and bool(others)
    finally:
        for task in crew:
            task.cancel()
        await asyncio.wait(crew)
        await asyncio.to_thread(keep)


async def one_by_one(items: Iterator[Item], do: Callable[[Item], Awaitable[None]]) -> None:
    """One item after the other, whichever is next."""
    for item in items:
        await do(item)
