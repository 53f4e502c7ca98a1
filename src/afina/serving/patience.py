"""What cannot be answered at the moment is asked again. For work that nobody waits for at the other end of a line."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

from afina.errors import Unavailable

ATTEMPTS = 3
Result = TypeVar("Result")


async def patiently(ask: Callable[[], Awaitable[Result]]) -> Result:
    """The first answer; Unavailable where there is none after a few attempts."""
    for _ in range(ATTEMPTS - 1):
        try:
            return await ask()
        except Unavailable as error:
            await asyncio.sleep(1 if error.retry_after is None else error.retry_after)
    return await ask()
