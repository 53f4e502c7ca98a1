"""Every failure as OpenAI's error object, with its four keys and the status that clients act on."""

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from fastapi.routing import iter_route_contexts
from pydantic_core import ErrorDetails
from starlette.exceptions import HTTPException
from starlette.routing import compile_path

from afina.errors import AfinaError, InvalidRequest, MethodNotAllowed, NotFound, TooManyRequests, Unavailable
from afina.schemas.wording import invalid

BODY_LEFT = frozenset({408, 413})  # the rest of the request's body is not read, so nothing can follow it


def install(app: FastAPI) -> None:
    """Answer every error raised below the middleware in one shape."""
    app.add_exception_handler(AfinaError, answer)
    app.add_exception_handler(RequestValidationError, answer_query)
    app.add_exception_handler(HTTPException, answer_http)


def respond(error: AfinaError) -> JSONResponse:
    """The reply to a failed request; says so where the client's own retry could not help."""
    headers: dict[str, str] = {}
    if isinstance(error, Unavailable) and error.retry_after is not None:
        headers["retry-after"] = str(error.retry_after)
    elif error.status >= 500 or error.status == TooManyRequests.status:
        headers["x-should-retry"] = "false"
    if error.status in BODY_LEFT:
        headers["connection"] = "close"
    return JSONResponse(error.wire(), error.status, headers)


async def answer(request: Request, error: Exception) -> JSONResponse:
    """An error that was raised on purpose."""
    assert isinstance(error, AfinaError)
    return respond(error)


async def answer_query(request: Request, error: Exception) -> JSONResponse:
    """A query parameter that is not what it must be."""
    assert isinstance(error, RequestValidationError)
    first: ErrorDetails = error.errors()[0]
    return respond(invalid({**first, "loc": first["loc"][1:]}, request.query_params))


async def answer_http(request: Request, error: Exception) -> JSONResponse:
    """No such path, or not for this verb."""
    assert isinstance(error, HTTPException)
    method, path = request.method, request.url.path
    if error.status_code == 404:
        return respond(NotFound(f"Invalid URL ({method} {path[:256]})", code="unknown_url"))
    if error.status_code == 405:
        message = f"Not allowed to {method} on {path[:256]}"
        response = respond(MethodNotAllowed(message))
        response.headers["allow"] = ", ".join(allowed(request))
        return response
    return respond(InvalidRequest(error.detail))


def allowed(request: Request) -> list[str]:
    """The verbs that the path does know, whichever route they belong to."""
    methods: set[str] = set()
    for route in iter_route_contexts(request.app.routes):
        if route.path and compile_path(route.path)[0].match(request.scope["path"]):
            methods |= route.methods or set()
    return sorted(methods)
