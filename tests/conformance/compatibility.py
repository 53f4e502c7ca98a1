"""`python -m conformance.compatibility`: the tables of `docs/compatibility.md`, from the pinned client and our routes.

Each operation of the client is asked of nobody: the request that it would send leads to our route, and that to what
we take.
"""

import inspect
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property, reduce
from typing import Annotated, get_args, get_origin, get_type_hints

import httpx2
import openai
from fastapi import APIRouter, FastAPI
from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute
from pydantic import BaseModel
from starlette.routing import Match

from afina.api.app import create_app
from afina.settings import Settings
from conformance.suite import ROOT

PAGE = ROOT / "docs" / "compatibility.md"
BEGIN, END = "<!-- generated from here on by `make docs` -->\n", "<!-- up to here -->\n"
RESOURCES = (
    "files",
    "uploads",
    "uploads.parts",
    "fine_tuning.jobs",
    "fine_tuning.jobs.checkpoints",
    "fine_tuning.checkpoints.permissions",
    "fine_tuning.alpha.graders",
    "models",
    "chat.completions",
    "chat.completions.messages",
    "completions",
    "responses",
    "responses.input_items",
    "responses.input_tokens",
    "conversations",
    "conversations.items",
    "embeddings",
    "moderations",
    "batches",
    "evals",
    "evals.runs",
    "evals.runs.output_items",
    "webhooks",
    "webhooks.event_types",
    "admin.organization.usage",
    "admin.organization.projects",
    "admin.organization.projects.api_keys",
    "admin.organization.projects.service_accounts",
    "admin.organization.admin_api_keys",
)
TRANSPORT = {"self", "extra_headers", "extra_query", "extra_body", "timeout"}
FILES = {"file", "data"}
MARK = "~"
# What the client makes of other operations, or computes by itself.
WITHOUT_A_REQUEST = {
    "chat.completions": {"parse", "stream"},
    "files": {"retrieve_content", "wait_for_processing"},
    "responses": {"connect", "parse", "stream"},
    "uploads": {"upload_file_chunked"},
    "webhooks": {"unwrap", "verify_signature"},
}
# Forms are taken apart as they arrive, and lists in a query have no single name.
BY_HAND = {
    "files.create": {"file", "purpose", "expires_after"},
    "uploads.parts.create": {"data"},
    "conversations.items.create": {"include"},
    "chat.completions.list": {"metadata"},
    "fine_tuning.jobs.list": {"metadata"},
    "admin.organization.usage": {
        "api_key_ids",
        "group_by",
        "line_items",
        "models",
        "project_ids",
        "user_ids",
    },
}
CACHES = {"prompt_cache_key", "prompt_cache_options", "prompt_cache_retention"}
HINTS = CACHES | {"moderation", "safety_identifier", "service_tier"}
# Taken, some of it echoed; the answer means the same without it.
IGNORED: Mapping[str, set[str]] = {
    "chat.completions.create": HINTS
    | {"audio", "prediction", "reasoning_effort", "verbosity", "web_search_options"},
    "completions.create": {"user"},
    "conversations.items.create": {"include"},
    "embeddings.create": {"user"},
    "responses.compact": CACHES | {"image", "service_tier"},
    "responses.create": HINTS
    | {
        "access_programs",
        "background_options",
        "context_management",
        "image",
        "max_tool_calls",
        "prompt",
        "reasoning",
        "stream_options",
        "user",
    },
    "responses.input_tokens.count": {"personality", "reasoning"},
}


class Nobody(httpx2.BaseTransport):
    """Keeps the last request and knows nothing."""

    last: httpx2.Request

    def handle_request(self, request: httpx2.Request) -> httpx2.Response:
        self.last = request
        return httpx2.Response(404, json={})


@dataclass(frozen=True)
class Operation:
    """A call of the client, as it would be sent, and the route that it leads to, if there is one."""

    name: str
    method: str
    path: str
    parameters: tuple[str, ...]
    route: APIRoute | None

    @cached_property
    def body(self) -> type[BaseModel] | None:
        """What its JSON body is read as."""
        if self.route is None:
            return None
        hint = get_type_hints(self.route.endpoint, include_extras=True).get("body")
        return get_args(get_args(hint)[0])[0] if get_origin(hint) is Annotated else None

    @property
    def taken(self) -> set[str]:
        """The parameters that our side knows; a field that may only be null is there for its error message."""
        fields = self.body.model_fields if self.body else {}
        named = {each.alias or name for name, each in fields.items() if each.annotation is not type(None)}
        by_hand = BY_HAND.get(self.name, set()) | BY_HAND.get(self.name.rpartition(".")[0], set())
        return named | by_hand | (queried(self.route.dependant) if self.route else set())

    def fate(self, parameter: str) -> str:
        """What becomes of a parameter: it is done, ignored or refused."""
        if parameter in IGNORED.get(self.name, set()):
            return "ignored"
        if parameter in self.taken:
            return "done"
        return "ignored" if self.method == "GET" else "refused"


def queried(dependant: Dependant) -> set[str]:
    """The names in the query that a route reads."""
    own = {field.alias for field in dependant.query_params}
    return own.union(*(queried(inner) for inner in dependant.dependencies))


def operations(app: FastAPI) -> Iterator[Operation]:
    """All operations of the client's resources that we know of."""
    nobody = Nobody()
    client = openai.OpenAI(
        base_url="http://nobody.invalid",
        api_key="none",
        admin_api_key="none",
        max_retries=0,
        http_client=httpx2.Client(transport=nobody),
    )
    for resource in RESOURCES:
        there: object = reduce(getattr, resource.split("."), client)
        for name, method in inspect.getmembers(there, inspect.ismethod):
            if not name.startswith("_") and name not in WITHOUT_A_REQUEST.get(resource, set()):
                yield operation(app, nobody, f"{resource}.{name}", method)


def operation(app: FastAPI, nobody: Nobody, name: str, method: Callable[..., object]) -> Operation:
    """One operation: what has to be given is given by its own name, marked, so that the path shows where it goes."""
    parameters = [
        each for each in inspect.signature(method).parameters.values() if each.name not in TRANSPORT
    ]
    needed = [each.name for each in parameters if each.default is inspect.Parameter.empty]
    with suppress(openai.NotFoundError):
        method(**{each: each.encode() if each in FILES else MARK + each for each in needed})
    sent = nobody.last
    in_path = {part.removeprefix(MARK) for part in sent.url.path.split("/") if part.startswith(MARK)}
    rest = tuple(each.name for each in parameters if each.name not in in_path)
    return Operation(name, sent.method, sent.url.path, rest, route(app, sent.method, sent.url.path))


def route(app: FastAPI, method: str, path: str) -> APIRoute | None:
    """The route that answers a request."""
    asked = {"type": "http", "method": method, "path": path, "root_path": "", "headers": []}
    return next((each for each in routes(app.router) if each.matches(asked)[0] is Match.FULL), None)


def routes(router: APIRouter) -> Iterator[APIRoute]:
    """All routes of a router and of those in it, with paths that begin behind `/v1`."""
    for each in router.routes:
        if isinstance(each, APIRoute):
            yield each
        elif isinstance(inner := vars(each).get("original_router"), APIRouter):
            yield from routes(inner)


def tables() -> str:
    """The generated part of the page."""
    found = list(operations(create_app(Settings())))
    bare = [each for each in found if each.route and not each.parameters]
    missing = [each for each in found if each.route is None]
    return "\n".join(
        [
            "| operation | done | ignored | refused |",
            "|---|---|---|---|",
            *(row(each) for each in found if each.route and each.parameters),
            "",
            f"Done, without parameters: {names(bare)}.",
            "",
            f"Not there yet: {names(missing) or 'nothing of these resources'}.",
        ]
    )


def names(found: list[Operation]) -> str:
    """Operations one after the other."""
    return ", ".join(f"`{each.name}`" for each in found)


def row(operation: Operation) -> str:
    """One operation's line."""
    fates = {each: operation.fate(each) for each in operation.parameters}
    cells = (
        ", ".join(name for name, fate in fates.items() if fate == kind)
        for kind in ("done", "ignored", "refused")
    )
    return f"| `{operation.name}` | {' | '.join(cells)} |"


def page() -> str:
    """The page with its tables as they are now; what people wrote around them stays."""
    before, rest = PAGE.read_text().split(BEGIN)
    return f"{before}{BEGIN}\n{tables()}\n\n{END}{rest.split(END)[1]}"


if __name__ == "__main__":
    PAGE.write_text(page())
