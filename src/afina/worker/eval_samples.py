"""How an item comes to its sample: a model is asked, or it brings one along."""

import asyncio
from dataclasses import dataclass

from pydantic import JsonValue

from afina.errors import InvalidRequest
from afina.evals import samples
from afina.graders import judges, templates
from afina.schemas.chat import CreateChatCompletion
from afina.schemas.chat_messages import JsonObject
from afina.schemas.eval_runs import (
    CompletionsSource,
    DataSource,
    ItemReference,
    JsonlSource,
    MessageTemplate,
    ModelUsage,
    ResponsesSource,
    Sample,
    Sampling,
)
from afina.schemas.responses import CreateResponse
from afina.schemas.wording import validated
from afina.serving.patience import patiently
from afina.serving.response_messages import chat_request, items_of
from afina.serving.router import Router
from afina.store.eval_items import WaitingItem

MOST_TOKENS = 2048  # of an answer where nothing is said
SEED = 42  # where none is given: a run that is repeated asks the same
KEPT_MESSAGES = "item.input"  # where what was kept has its messages


@dataclass(frozen=True)
class Answer:
    """What graders see, what is shown, and what it took."""

    namespace: JsonObject
    shown: Sample
    usage: tuple[ModelUsage, ...] = ()


def asked(source: DataSource, item: JsonObject) -> CreateChatCompletion | None:
    """What a model is asked of an item; None where nobody is. InvalidRequest where the item does not lend itself."""
    if isinstance(source, JsonlSource) or source.model is None:
        return None
    said, params = messages(source, item), source.sampling_params or Sampling()
    if isinstance(source, CompletionsSource):
        words = [{"role": "user", "content": said}] if isinstance(said, str) else said
        shape = source.sampling_params and source.sampling_params.model_dump(
            mode="json", by_alias=True, exclude_none=True, include={"response_format", "tools"}
        )
        chat = validated(CreateChatCompletion, {"model": source.model, "messages": words, **(shape or {})})
    else:
        shape = source.sampling_params and source.sampling_params.model_dump(
            mode="json", by_alias=True, exclude_none=True, include={"text", "tools"}
        )
        request = validated(CreateResponse, {"model": source.model, "input": said, **(shape or {})})
        chat = chat_request(request, items_of(request.input), model=source.model)
    return chat.model_copy(
        update={
            "max_completion_tokens": params.max_completion_tokens or MOST_TOKENS,
            "reasoning_effort": params.reasoning_effort,
            "seed": SEED if params.seed is None else params.seed,
            "temperature": params.temperature,
            "top_p": params.top_p,
        }
    )


def messages(source: CompletionsSource | ResponsesSource, item: JsonObject) -> JsonValue:
    """The messages for an item; what was kept is asked again as it was."""
    names: JsonObject = {"item": item}
    try:
        if isinstance(source.input_messages, MessageTemplate):
            return [judges.rendered(message, names) for message in source.input_messages.template]
        named = source.input_messages or ItemReference(type="item_reference", item_reference=KEPT_MESSAGES)
        return templates.path_of(named.item_reference, "item_reference").find(names)
    except templates.MissingVariable as missing:
        raise absent(missing.path.text) from None
    except LookupError as missing:
        raise absent(str(missing.args[0])) from None


def absent(path: str) -> InvalidRequest:
    """An item without what the messages are made of."""
    return InvalidRequest(f"The item has no {path}.", code="invalid_variable")


async def answer(router: Router, project_id: str, source: DataSource, item: WaitingItem) -> Answer:
    """The item's sample; raises AfinaError where there is none."""
    chat = asked(source, item.datasource_item)
    if chat is None:
        sample = samples.completed(item.recorded or {})
        return Answer(sample, samples.shown_recorded(sample))
    target = await asyncio.to_thread(router.find, project_id, chat.model)
    reply = await patiently(lambda: router.complete(target, chat))
    usage = ModelUsage(model_name=chat.model, invocation_count=1, **dict(samples.used(reply.usage)))
    return Answer(samples.of_reply(reply), samples.shown(chat, reply), (usage,))
