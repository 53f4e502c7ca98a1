"""Routes whose functions run in a thread, and go there once."""

from collections.abc import Awaitable, Callable
from functools import wraps
from inspect import iscoroutinefunction
from typing import Any, ParamSpec, TypeVar

from fastapi.concurrency import run_in_threadpool
from fastapi.routing import APIRoute

Given = ParamSpec("Given")
Made = TypeVar("Made")


class ThreadedRoute(APIRoute):
    """What a plain function returns is a record of the class that its route declares.

    FastAPI's check of it is a look at the class, for which it would go to a thread once more. It writes the JSON on
    the event loop either way.
    """

    def __init__(self, path: str, endpoint: Callable[..., Any], **options: Any):
        super().__init__(path, endpoint if iscoroutinefunction(endpoint) else threaded(endpoint), **options)


def threaded(function: Callable[Given, Made]) -> Callable[Given, Awaitable[Made]]:
    """The function, to be awaited while a thread runs it."""

    @wraps(function)
    async def run(*arguments: Given.args, **named: Given.kwargs) -> Made:
        return await run_in_threadpool(function, *arguments, **named)

    return run
