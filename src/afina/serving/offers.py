"""The functions that a request offers to the model, and how freely it may call them."""

from collections.abc import Iterator
from dataclasses import dataclass

from afina.data.strict_json import JsonObject
from afina.errors import InvalidRequest, clipped
from afina.schemas.chat import (
    AllowedToolChoice,
    CreateChatCompletion,
    FunctionDefinition,
    FunctionTool,
    NamedCustomTool,
    NamedFunction,
    NamedTool,
)


@dataclass(frozen=True)
class Offered:
    """One function, and the parameter that declares it."""

    function: FunctionDefinition
    param: str


@dataclass(frozen=True)
class Offer:
    """What may be called: `legacy` in the words of `functions`, `narrowed` where not all that is declared."""

    functions: tuple[Offered, ...]
    required: bool = False
    named: bool = False
    narrowed: bool = False
    several: bool = True
    legacy: bool = False


def declared(request: CreateChatCompletion) -> list[JsonObject]:
    """The functions that the model is told of, as templates take them."""
    if offer_of(request) is None:
        return []
    return [
        {"type": "function", "function": found.function.model_dump(exclude_none=True)}
        for found in every(request)
    ]


def every(request: CreateChatCompletion) -> Iterator[Offered]:
    """All functions of the request; tools of other types are not shown to the model."""
    for place, tool in enumerate(request.tools or []):
        if isinstance(tool, FunctionTool):
            yield Offered(tool.function, f"tools[{place}].function")
    for place, function in enumerate(request.functions or []):
        yield Offered(function, f"functions[{place}]")


def offer_of(request: CreateChatCompletion) -> Offer | None:
    """The offer, None where nothing may be called; 400 for a choice of what is not there."""
    legacy = not request.tools and bool(request.functions or request.function_call)
    choice = request.function_call if legacy else request.tool_choice
    param = "function_call" if legacy else "tool_choice"
    functions = tuple(every(request))
    names, required = chosen(choice, param)
    if choice == "none" or not (functions or required or names):
        return None
    if not functions:
        raise refusal(
            param, f"'{param}' is only allowed when '{'functions' if legacy else 'tools'}' are specified"
        )
    by_name = {found.function.name: found for found in functions}
    for name in names or ():
        if name not in by_name:
            raise refusal(
                param, f"'{clipped(name)}' is not the name of one of the functions that are specified"
            )
    return Offer(
        functions=tuple(by_name[name] for name in names) if names else functions,
        required=required,
        named=isinstance(choice, NamedTool | NamedFunction),
        narrowed=names is not None,
        several=request.parallel_tool_calls is not False and not legacy,
        legacy=legacy,
    )


def chosen(choice: object, param: str) -> tuple[list[str] | None, bool]:
    """The names that a choice is limited to, and whether one of them has to be called."""
    match choice:
        case NamedTool():
            return [choice.function.name], True
        case NamedFunction():
            return [choice.name], True
        case AllowedToolChoice():
            allowed = choice.allowed_tools
            return list(
                dict.fromkeys(tool.function.name for tool in allowed.tools)
            ), allowed.mode == "required"
        case NamedCustomTool():
            raise InvalidRequest(
                "Custom tools cannot be called by this model.", param=param, code="unsupported_parameter"
            )
        case _:
            return None, choice == "required"


def refusal(param: str, why: str) -> InvalidRequest:
    """A choice that cannot be made."""
    return InvalidRequest(f"Invalid value for '{param}': {why}.", param=param)
