"""A response before it is made: what it goes on from, what it was asked with, and how it is kept."""

import time
from dataclasses import dataclass

from afina import ids
from afina.errors import InvalidRequest
from afina.schemas.chat import TextFormat
from afina.schemas.conversations import Conversation
from afina.schemas.response_items import Item
from afina.schemas.response_replies import FINAL, Reasoning, Response, StoredResponse
from afina.schemas.responses import CreateResponse, ResponsePrompt, TextConfig
from afina.serving.names import Target
from afina.serving.registry import DEFAULT
from afina.serving.response_messages import brought, items_of
from afina.serving.router import Router
from afina.store import conversations
from afina.store import responses as rows
from afina.store.scope import Scope


@dataclass(frozen=True)
class Past:
    """What was said before, and the response that said the last of it; `opening` is what was added since by others."""

    items: list[Item]
    previous_response_id: str | None = None
    opening: list[Item] | None = None


@dataclass(frozen=True)
class Turn:
    """A response that is to be made."""

    target: Target
    request: CreateResponse
    past: Past
    begun: StoredResponse

    @property
    def items(self) -> list[Item]:
        """All that the model is to know."""
        return [*self.past.items, *self.begun.input]


def past(scope: Scope, request: ResponsePrompt) -> Past:
    """What was said before: up to the previous response, or in the conversation."""
    if request.conversation_id is None:
        previous = request.previous_response_id
        return Past(rows.history(scope, previous), previous)
    conversation = conversations.get(scope, request.conversation_id)
    conversations.refuse_removed(conversation, brought(request.input), param="input")
    previous = request.previous_response_id or conversation.last_response_id
    param = "previous_response_id" if request.previous_response_id else "conversation"
    said = conversations.without(rows.history(scope, previous, param=param), conversation.removed)
    return Past(said, previous, conversation.items)


def keep(scope: Scope, turn: Turn, stored: StoredResponse) -> None:
    """Write a response, behind all others of its conversation; with `store` false, nothing."""
    if turn.request.store is False:
        return
    if turn.request.conversation_id is None:
        rows.insert(scope, stored)
        return
    conversation = conversations.get(scope, turn.request.conversation_id, hold=True)
    rows.insert(scope, behind_the_last(scope, conversation, turn, stored))
    taken = {item.id for item in turn.past.opening or []}
    left = [item for item in conversation.items if item.id not in taken]
    news = {"last_response_id": stored.response.id, "items": left}
    conversations.change(scope, conversation.model_copy(update=news))


def behind_the_last(
    scope: Scope, conversation: Conversation, turn: Turn, stored: StoredResponse
) -> StoredResponse:
    """The response in its place: others of the conversation may have been kept since it was begun.

    Turns are in the order in which they are kept, and the first of them alone holds what was added before it.
    """
    last, opening = conversation.last_response_id, turn.past.opening or []
    free = {item.id for item in conversation.items}
    mine = [item for item in opening if item.id in free]
    own = stored.model_copy(update={"input": [*mine, *stored.input[len(opening) :]]})
    if last in (None, stored.previous_response_id):
        return own
    if stored.response.status not in FINAL:
        rows.history(scope, last, param="conversation")  # a worker could not go on from what is unfinished
    return own.model_copy(update={"previous_response_id": last})


def found(router: Router, project_id: str, request: ResponsePrompt) -> tuple[Target, Past]:
    """Who answers, and what it is to know of before."""
    target = router.find(project_id, request.model or DEFAULT)
    with router.database.read(project_id) as scope:
        return target, past(scope, request)


def begin(router: Router, project_id: str, request: CreateResponse) -> Turn:
    """A response with everything but its output; an unknown model, response or conversation is refused here."""
    refuse_unsupported(request)
    target, before = found(router, project_id, request)
    return begun(target, request, before)


def begun(target: Target, request: CreateResponse, past: Past) -> Turn:
    """A response that knows its past."""
    response = blank(target, request)
    given = [*(past.opening or []), *items_of(request.input)]
    stored = StoredResponse(response=response, input=given, previous_response_id=past.previous_response_id)
    return Turn(target, request, past, stored)


def refuse_unsupported(request: CreateResponse) -> None:
    """What would lose its meaning is refused by name."""
    if request.prompt is not None and request.input is None:
        raise unsupported(
            "prompt", "it names a template of OpenAI's dashboard. Send 'instructions' and 'input'"
        )
    policy = (request.moderation or {}).get("policy")
    if "block" in str(policy):
        raise unsupported("moderation.policy", "nothing is blocked here. Ask /v1/moderations yourself")
    if request.background and request.store is False:
        raise unsupported("background", "a response in the background has to be stored")
    if request.conversation_id and request.store is False:
        raise unsupported("store", "the responses of a conversation have to be stored")


def unsupported(param: str, why: str) -> InvalidRequest:
    """A parameter whose meaning would be lost."""
    return InvalidRequest(f"'{param}' is not supported: {why}.", param=param, code="unsupported_parameter")


def blank(target: Target, request: CreateResponse) -> Response:
    """The response that repeats what it was asked with."""
    asked = request.model_dump(include={"max_output_tokens", "max_tool_calls", "prompt_cache_key"})
    asked |= request.model_dump(include={"safety_identifier", "user", "instructions", "previous_response_id"})
    given = {
        "metadata": request.metadata,
        "tools": request.tools,
        "tool_choice": request.tool_choice,
        "parallel_tool_calls": request.parallel_tool_calls,
        "store": request.store,
        "temperature": request.temperature,
        "top_p": request.top_p,
        "top_logprobs": request.top_logprobs,
        "truncation": request.truncation,
        "background": request.background,
    }
    conversation = request.conversation_id
    return Response.model_validate(
        {
            "id": ids.prefixed("resp_"),
            "created_at": int(time.time()),
            "status": "in_progress",
            "model": request.model or target.resolved.id,
            "text": text_config(request),
            "conversation": {"id": conversation} if conversation else None,
            "reasoning": reasoning(request),
            **asked,
            **{name: value for name, value in given.items() if value is not None},
        }
    )


def text_config(request: ResponsePrompt) -> TextConfig:
    """The form of the text, also where none was asked for."""
    text = request.text or TextConfig()
    return text if text.format else text.model_copy(update={"format": TextFormat(type="text")})


def reasoning(request: ResponsePrompt) -> Reasoning:
    """What was asked of a model that thinks; it changes nothing here."""
    asked = request.reasoning or {}
    known = {name: asked[name] for name in ("effort", "summary") if isinstance(asked.get(name), str)}
    return Reasoning.model_validate(known)
