"""What a test of the suite is going to ask, read from its source before it runs."""

import ast
import inspect
import textwrap
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import reduce

import openai

CLIENTS = ("client", "async_client")
WAYS = ("with_raw_response", "with_streaming_response")
UNCONNECTED = openai.OpenAI(base_url="http://nowhere.invalid", api_key="none")


@dataclass(frozen=True)
class Call:
    """One call of the client: its method, such as `files.retrieve`, and its arguments by name."""

    method: str
    arguments: Mapping[str, object]


def calls(test: Callable[..., object]) -> list[Call]:
    """All calls of the client in a test's source, in their order."""
    source = ast.parse(textwrap.dedent(inspect.getsource(test)))
    found = (call(node) for node in ast.walk(source) if isinstance(node, ast.Call))
    return [each for each in found if each is not None]


def call(node: ast.Call) -> Call | None:
    """The node as a call of the client, if it is one."""
    names = dotted(node.func)
    if names[0] not in CLIENTS:
        return None
    names = [name for name in names[1:] if name not in WAYS]
    method: Callable[..., object] = reduce(getattr, names, UNCONNECTED)
    positional = [value(argument) for argument in node.args]
    named = {keyword.arg: value(keyword.value) for keyword in node.keywords if keyword.arg}
    bound = inspect.signature(method).bind_partial(*positional, **named)
    return Call(".".join(names), bound.arguments)


def dotted(node: ast.expr) -> list[str]:
    """`a.b.c` as its names; a first name that is none is empty."""
    if isinstance(node, ast.Attribute):
        return [*dotted(node.value), node.attr]
    return [node.id if isinstance(node, ast.Name) else ""]


def value(node: ast.expr) -> object:
    """What stands there, where it stands there in full; else None."""
    try:
        return ast.literal_eval(node)
    except ValueError:
        return None
