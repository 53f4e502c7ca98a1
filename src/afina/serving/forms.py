"""The form that a request holds its reply to: JSON, calls of its functions, or either.

A form that no reply can have is a 400.
"""

import json

from afina.errors import InvalidRequest
from afina.schemas.chat import (
    CreateChatCompletion,
    JsonObject,
    JsonObjectFormat,
    JsonSchema,
    JsonSchemaFormat,
)
from afina.schemas.structure import EitherForm, Form, JsonForm, StructuralTag, Tag, TagsForm, TriggeredForm
from afina.serving import json_schema
from afina.serving.offers import Offer, Offered
from afina.serving.tools import CLOSE, OPEN

NO_PARAMETERS: JsonObject = {"type": "object", "properties": {}, "additionalProperties": False}
NO_JSON = (
    "'messages' must contain the word 'json' in some form, to use 'response_format' of type 'json_object'."
)
LONGEST = 65_536  # characters of a form: it takes about a second to compile at the worst


def form_of(request: CreateChatCompletion, offer: Offer | None) -> StructuralTag | None:
    """The form of the reply; None where it is free."""
    text = json_form(request)
    calls = None if offer is None else calls_form(offer, forced=text is not None)
    if text is None or (offer is not None and offer.required):
        form = calls
    else:
        form = text if calls is None else EitherForm(elements=[calls, text])
    if form is None:
        return None
    if len(form.model_dump_json()) > LONGEST:
        param = "tools" if form is calls else "response_format"
        message = f"The schemas of this request have more than {LONGEST} characters together; shorten them."
        raise InvalidRequest(message, param=param, code="invalid_value")
    return StructuralTag(format=form)


def json_form(request: CreateChatCompletion) -> JsonForm | None:
    """What `response_format` asks for."""
    match request.response_format:
        case JsonSchemaFormat(json_schema=asked):
            check_named(asked)
            return JsonForm(json_schema=asked.body or {"type": "object"})
        case JsonObjectFormat():
            check_json_is_spoken_of(request)
            return JsonForm(json_schema={"type": "object"})
        case _:
            return None


def check_named(asked: JsonSchema) -> None:
    """A schema that can be held; a strict one also by OpenAI's rules."""
    if why := json_schema.fault(asked.body or {"type": "object"}, strict=asked.strict is True):
        message = f"Invalid schema for response_format '{asked.name}': {why}"
        raise InvalidRequest(message, param="response_format")


def check_json_is_spoken_of(request: CreateChatCompletion) -> None:
    """A model that is not told to write JSON fills its reply with white space."""
    said = json.dumps([message.model_dump(include={"content"}) for message in request.messages])
    if "json" not in said.lower():
        raise InvalidRequest(NO_JSON, param="messages")


def calls_form(offer: Offer, *, forced: bool) -> Form | None:
    """Calls alone where they are required or `forced` (the text has a form of its own), otherwise within free text.

    Free text with functions of which none is strict needs no form: what is no call stays text.
    """
    strict = any(found.function.strict for found in offer.functions)
    if not (offer.required or forced or strict or offer.narrowed):
        return None
    tags = [tag(found) for found in offer.functions]
    single = not offer.several or offer.named
    if offer.required or forced:
        return TagsForm(tags=tags, separator="\n", stop_after_first=single)
    return TriggeredForm(triggers=[OPEN], tags=tags, stop_after_first=single)


def tag(offered: Offered) -> Tag:
    """A call as templates write it."""
    function = offered.function
    parameters = NO_PARAMETERS if function.parameters is None else {"type": "object", **function.parameters}
    if why := json_schema.fault(parameters, strict=function.strict is True):
        raise InvalidRequest(
            f"Invalid schema for function '{function.name}': {why}",
            param=f"{offered.param}.parameters",
            code="invalid_function_parameters",
        )
    begin = f'{OPEN}\n{{"name": {json.dumps(function.name)}, "arguments": '
    return Tag(begin=begin, content=JsonForm(json_schema=parameters), end=f"}}\n{CLOSE}")
