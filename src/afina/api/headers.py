"""What every reply carries, errors and streams included, and the last resort for errors that nobody expected."""

import logging
import time

from fastapi import FastAPI
from starlette.datastructures import MutableHeaders
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from afina import ids
from afina.api.errors import respond
from afina.errors import AfinaError, HeadersTooLarge, InvalidRequest

MAX_HEADER_BYTES = 16 * 1024
MAX_HEADERS = 100

log = logging.getLogger(__name__)


class ReplyHeaders:
    """ASGI middleware around everything but the server itself."""

    def __init__(self, app: ASGIApp):
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, whatever happens below."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        started, request_id, begun = False, ids.request_id(), time.monotonic()
        scope.setdefault("state", {})["request_id"] = request_id

        async def send_with_headers(message: Message) -> None:
            nonlocal started
            if message["type"] == "http.response.start":
                started = True
                add_headers(MutableHeaders(scope=message), scope, milliseconds=since(begun))
            await send(message)

        try:
            await self.limited(scope, receive, send_with_headers)
        except ClientDisconnect:
            return  # nobody is there to be answered
        except Exception:  # the server's edge: whatever it was, the client gets an error object
            log.exception("request=%s %s %s failed", request_id, scope["method"], scope["path"])
            if started:
                raise
            error = AfinaError("The server had an error while processing your request.")
            await respond(error)(scope, receive, send_with_headers)

    async def limited(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, unless its headers are more than anybody needs, or contradict each other."""
        headers: list[tuple[bytes, bytes]] = scope["headers"]
        if (
            len(headers) > MAX_HEADERS
            or sum(len(name) + len(value) for name, value in headers) > MAX_HEADER_BYTES
        ):
            message = f"At most {MAX_HEADERS} headers with {MAX_HEADER_BYTES} bytes in all are accepted."
            await respond(HeadersTooLarge(message))(scope, receive, send)
            return
        if {b"content-length", b"transfer-encoding"} <= {name for name, _ in headers}:
            message = "Send Content-Length or Transfer-Encoding, not both: nobody knows where the body ends."
            reply = respond(InvalidRequest(message, code="invalid_header"))
            reply.headers["connection"] = "close"
            await reply(scope, receive, send)
            return
        await self.app(scope, receive, send)


def add_headers(headers: MutableHeaders, scope: Scope, *, milliseconds: int) -> None:
    """The headers by which clients find a request again."""
    headers["x-request-id"] = scope["state"]["request_id"]
    headers["openai-version"] = "2020-10-01"
    headers["openai-processing-ms"] = str(milliseconds)
    if organization := scope["state"].get("organization"):
        headers["openai-organization"] = organization


def since(begun: float) -> int:
    """Milliseconds on a clock that nobody sets."""
    return int((time.monotonic() - begun) * 1000)


def install(app: FastAPI) -> None:
    """Put it around the application."""
    app.add_middleware(ReplyHeaders)
