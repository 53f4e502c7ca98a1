"""The connection to a server: the plain `openai` client, and what its errors mean to a person.

It knows of no command, and imports the client only when one is about to talk.
"""

import os
from collections.abc import AsyncGenerator, Generator
from contextlib import asynccontextmanager, contextmanager
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from afina.cli.output import CommandFailed

if TYPE_CHECKING:
    from openai import APIStatusError, AsyncOpenAI, OpenAI

DEFAULT_URL = "http://127.0.0.1:8400/v1"
LOOPBACK = {"127.0.0.1", "localhost", "::1"}


def server_url() -> str:
    """Where the commands go: ours by default, never somebody else's service."""
    return os.environ.get("OPENAI_BASE_URL") or DEFAULT_URL


def api_key() -> str:
    """The key from the environment."""
    key = os.environ.get("OPENAI_API_KEY", "").strip()  # a key read from a file brings its newline along
    cure = "export OPENAI_API_KEY=sk-..., the key that `afina serve` printed at its first start"
    if not key:
        raise CommandFailed("OPENAI_API_KEY is not set", cure=cure)
    if not all("!" <= letter <= "~" for letter in key):  # no header can carry it
        raise CommandFailed("OPENAI_API_KEY holds characters that no key has", cure=cure)
    return key


@contextmanager
def connected() -> "Generator[OpenAI]":
    """A client for the length of one command; its errors come out as `CommandFailed`."""
    key, url = api_key(), server_url()
    import openai  # a second of import, which `afina --help` should not wait for

    http_client = openai.DefaultHttpxClient(trust_env=through_proxies(url))
    with told(url), openai.OpenAI(base_url=url, api_key=key, http_client=http_client) as client:
        yield client


@asynccontextmanager
async def connected_async() -> "AsyncGenerator[AsyncOpenAI]":
    """As `connected`, for a command that has many requests in flight."""
    key, url = api_key(), server_url()
    import openai

    http_client = openai.DefaultAsyncHttpxClient(trust_env=through_proxies(url))
    with told(url):
        async with openai.AsyncOpenAI(base_url=url, api_key=key, http_client=http_client) as client:
            yield client


def through_proxies(url: str) -> bool:
    """Whether the environment's proxies are asked; a server on this machine is reached directly."""
    return urlsplit(url).hostname not in LOOPBACK


@contextmanager
def told(url: str) -> Generator[None]:
    """What goes wrong with a server, in a person's words."""
    import openai

    try:
        yield
    except openai.APIStatusError as error:
        raise refusal(error) from error
    except openai.APITimeoutError as error:
        raise CommandFailed(f"the server at {url} did not answer in time") from error
    except openai.APIConnectionError as error:
        cure = "start it with: afina serve, or set OPENAI_BASE_URL"
        raise CommandFailed(f"no server answers at {url}", cure=cure) from error
    except openai.APIError as error:  # in the middle of a stream, or a reply that is none
        raise CommandFailed(error.message, param=error.param, code=error.code) from error


def refusal(error: "APIStatusError") -> CommandFailed:
    """What the server said: its message, param and code, and the cure where there is a known one."""
    body: object = error.body
    said = body.get("message") if isinstance(body, dict) else None  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]
    message = str(said) if said else f"the server answered with status {error.status_code}"  # pyright: ignore[reportUnknownArgumentType]
    return CommandFailed(message, param=error.param, code=error.code, cure=cure_of(error))


def cure_of(error: "APIStatusError") -> str:
    """What usually helps."""
    if error.status_code == 401:
        return "set OPENAI_API_KEY to a key of this server"
    if error.code == "model_not_found":
        return "see: afina models list"
    if error.code in ("invalid_training_file", "invalid_validation_file"):
        return "see every line with: afina check FILE"
    if error.status_code >= 500:
        return f"its log tells more, request {error.request_id}"
    return ""
