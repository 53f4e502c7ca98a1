"""Chat templates, compiled in a sandbox and called as transformers calls them; knows no tokens."""

import json
from collections.abc import Callable, Mapping
from datetime import datetime
from functools import lru_cache
from pathlib import Path
from typing import NoReturn

from jinja2 import Template, TemplateError, TemplateSyntaxError, nodes
from jinja2.exceptions import SecurityError
from jinja2.ext import Extension
from jinja2.parser import Parser
from jinja2.sandbox import ImmutableSandboxedEnvironment
from jinja2.utils import Namespace

from afina.data.strict_json import JsonObject, JsonValue
from afina.errors import InvalidRequest

_SPECIAL_NAMES = ("bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token")
_SHORTEST_REASON = 3
_TEMPLATE_FAILURES = (
    TemplateError,
    TypeError,
    ValueError,
    LookupError,
    AttributeError,
    ArithmeticError,
    RecursionError,
)


class Unsupported(ValueError):
    """The template cannot render a conversation; the message holds the template's own words, no data."""


class ChatTemplate:
    """One template with its tokenizer's special tokens and fixed options (such as `enable_thinking`)."""

    def __init__(
        self,
        source: str,
        *,
        special: Mapping[str, str],
        options: Mapping[str, JsonValue],
        now: Callable[[], datetime],
    ):
        self.source = source
        self._template = _compiled(source)

        def strftime_now(form: str) -> str:
            return now().strftime(form)

        self._fixed: dict[str, object] = {
            **special,
            "documents": None,
            "raise_exception": _raise_exception,
            "namespace": _namespace,
            "strftime_now": strftime_now,
            **options,
        }

    def render(self, messages: list[JsonObject], tools: list[JsonObject] | None, *, prompt: bool) -> str:
        """The conversation as text, with the opening of an answer where `prompt`; raises `Unsupported`."""
        try:
            return self._template.render(
                self._fixed, messages=messages, tools=tools, add_generation_prompt=prompt
            )
        except _TEMPLATE_FAILURES as error:
            raise Unsupported(self._reason(error)) from None

    def _reason(self, error: Exception) -> str:
        """A message that stands in the template is its author's; any other may quote the conversation."""
        reason = str(error)
        own = isinstance(error, TemplateError) and len(reason) > _SHORTEST_REASON and reason in self.source
        return f"this conversation: {reason}" if own else "this conversation"


def load(folder: Path, options: Mapping[str, JsonValue], now: Callable[[], datetime]) -> ChatTemplate:
    """The template of a model folder: `chat_template.jinja`, or that of `tokenizer_config.json`."""
    config = read_config(folder / "tokenizer_config.json")
    own_file = folder / "chat_template.jinja"
    source = own_file.read_text("utf-8") if own_file.is_file() else _in_config(config.get("chat_template"))
    if source is None:
        raise InvalidRequest("The base model has no chat template; add a chat_template.jinja to its folder")
    return ChatTemplate(source, special=special_tokens(folder), options=options, now=now)


def special_tokens(folder: Path) -> dict[str, str]:
    """`bos_token` and its like, as the tokenizer's files name them."""
    found = {
        **read_config(folder / "special_tokens_map.json"),
        **read_config(folder / "tokenizer_config.json"),
    }
    texts: dict[str, str] = {}
    for name in _SPECIAL_NAMES:
        value = found.get(name)
        if isinstance(value, dict):
            value = value.get("content")
        if isinstance(value, str):
            texts[name] = value
    return texts


def read_config(path: Path) -> JsonObject:
    """A JSON object of the model's folder; an absent file is an empty object."""
    loaded: JsonValue = json.loads(path.read_text("utf-8")) if path.is_file() else {}
    return loaded if isinstance(loaded, dict) else {}


def _in_config(found: JsonValue) -> str | None:
    """Either one template or a list of named ones, of which `default` is meant for chats."""
    if isinstance(found, list):
        named = {entry["name"]: entry["template"] for entry in found if isinstance(entry, dict)}
        found = named.get("default")
    return found if isinstance(found, str) else None


class _GenerationTag(Extension):
    """`{% generation %}` marks what an assistant says; spans are found otherwise, its body just renders."""

    tags = {"generation"}  # noqa: RUF012

    def parse(self, parser: Parser) -> nodes.Node:
        line = next(parser.stream).lineno
        body = parser.parse_statements(("name:endgeneration",), drop_needle=True)
        return nodes.Scope(body, lineno=line)


def _environment() -> ImmutableSandboxedEnvironment:
    environment = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[_GenerationTag, "jinja2.ext.loopcontrols"]
    )
    environment.filters["tojson"] = _tojson
    return environment


@lru_cache(maxsize=64)
def _compiled(source: str) -> Template:
    environment = _environment()
    try:
        for reference in environment.parse(source).find_all(nodes.NSRef):
            _refuse_underscore(reference.attr)
        return environment.from_string(source)
    except (TemplateSyntaxError, SecurityError) as error:
        raise InvalidRequest(f"The chat template of the base model cannot be compiled: {error}") from None


def _tojson(  # noqa: PLR0917 - templates pass these by position.
    value: JsonValue,
    ensure_ascii: bool = False,
    indent: int | None = None,
    separators: tuple[str, str] | None = None,
    sort_keys: bool = False,
) -> str:
    """Without the escaping for HTML of Jinja's own filter."""
    return json.dumps(
        value, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys
    )


def _raise_exception(message: str) -> NoReturn:
    raise TemplateError(message)


def _namespace(*args: Mapping[str, object], **attributes: object) -> Namespace:
    """Jinja's namespace without underscored names, which could stand in for Python's internals."""
    names: dict[str, object] = dict(*args, **attributes)
    for name in names:
        _refuse_underscore(name)
    return Namespace(names)


def _refuse_underscore(name: str) -> None:
    if name.startswith("_"):
        raise SecurityError("a namespace takes no names that begin with an underscore")
