"""JSON bodies: read once, bounded, strictly parsed, and checked against the model of a request."""

import asyncio
import hashlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

from fastapi import Request
from pydantic import BaseModel

from afina.data.strict_json import JsonObject, StrictJsonError, loads
from afina.errors import InvalidRequest, RequestTimeout, RequestTooLarge, UnsupportedMediaType
from afina.schemas.wording import validated

MAX_JSON_BYTES = 10 * 1024 * 1024
SILENCE_SECONDS = 60.0
LEAST_BYTES = 1024
UNPARSED = "We could not parse the JSON body of your request."

Model = TypeVar("Model", bound=BaseModel)


@dataclass(frozen=True)
class Body(Generic[Model]):
    """What was asked, and the hash of the bytes that asked it."""

    value: Model
    sha256: str


def json_body(model: type[Model]) -> Callable[[Request], Awaitable[Body[Model]]]:
    """A dependency that reads the request's body as `model`."""

    async def read(request: Request) -> Body[Model]:
        check_encoding(request, "application/json")
        data = bytearray()

        async def take(chunk: bytes) -> None:
            data.extend(chunk)
            if len(data) > MAX_JSON_BYTES:
                raise RequestTooLarge(f"The body is larger than {MAX_JSON_BYTES} bytes.")

        await receive(request, take)
        return Body(parse(model, bytes(data)), hashlib.sha256(data).hexdigest())

    return read


def parse(model: type[Model], data: bytes) -> Model:
    """The request that `data` holds; a 400 names the first parameter that is wrong."""
    return validated(model, parse_object(data))


def parse_object(data: bytes) -> JsonObject:
    """The JSON object that `data` holds."""
    try:
        value = loads(data)
    except StrictJsonError as error:
        why = "" if error.kind in ("incomplete", "syntax", "encoding") else f" Reason: {error.message}."
        raise InvalidRequest(UNPARSED + why, code="invalid_json") from None
    if not isinstance(value, dict):
        raise InvalidRequest(f"{UNPARSED} Expected an object.", code="invalid_json")
    return value


def check_encoding(request: Request, expected: str) -> None:
    """Bodies come as they are: one media type, not compressed."""
    media_type = request.headers.get("content-type", expected).partition(";")[0].strip().lower()
    if media_type != expected:
        raise UnsupportedMediaType(f"Unsupported Content-Type. Send '{expected}'.")
    if request.headers.get("content-encoding", "identity").lower() != "identity":
        raise UnsupportedMediaType(
            "Request bodies may not be compressed: send them without Content-Encoding."
        )


async def receive(request: Request, take: Callable[[bytes], Awaitable[None]]) -> None:
    """Hand the body on as it arrives; whoever sends less than 1 KiB a minute is not waited for."""
    clock, little = asyncio.get_running_loop(), 0
    try:
        async with asyncio.timeout(SILENCE_SECONDS) as limit:
            async for chunk in request.stream():
                little += len(chunk)
                if little >= LEAST_BYTES:
                    little = 0
                    limit.reschedule(clock.time() + SILENCE_SECONDS)
                await take(chunk)
    except TimeoutError:
        message = f"Less than {LEAST_BYTES} bytes of the body arrived in {SILENCE_SECONDS:g} seconds."
        raise RequestTimeout(message) from None
