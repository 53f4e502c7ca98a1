"""`{{ item.reference }}`: paths into the two objects that a grader sees, and nothing else. No template engine runs."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass

from pydantic import JsonValue

from afina.errors import InvalidRequest

JsonObject = dict[str, JsonValue]
_STEP = re.compile(
    r"""\.(?P<key>(?!__)[\w-]+)|\[(?P<index>\d{1,9})\]|\[(?P<quote>["'])(?P<quoted>(?!__)[^"'\]]+)(?P=quote)\]"""
)
_ROOTS = ("item", "sample")


@dataclass(frozen=True)
class Path:
    """`text` is the path as it was written, without braces."""

    text: str
    steps: tuple[str | int, ...]

    def find(self, names: Mapping[str, JsonValue]) -> JsonValue:
        """What the path leads to; raises LookupError where there is nothing."""
        value: JsonValue = dict(names)
        for step in self.steps:
            match value, step:
                case dict(), str():
                    value = value[step]
                case list(), int():
                    value = value[step]
                case _:
                    raise LookupError(self.text)
        return value

    def leads_somewhere(self, names: Mapping[str, JsonValue]) -> bool:
        """Whether there is something, be it null."""
        try:
            self.find(names)
        except LookupError:
            return False
        return True


class MissingVariable(Exception):
    """A template names what this item or this sample does not have; `path` is as in the template."""

    def __init__(self, path: Path):
        super().__init__(path.text)
        self.path = path


@dataclass(frozen=True)
class Template:
    """Text and paths by turns."""

    parts: tuple[str | Path, ...]

    @property
    def paths(self) -> list[Path]:
        """What the template asks for."""
        return [part for part in self.parts if isinstance(part, Path)]

    def render(self, names: Mapping[str, JsonValue]) -> str:
        """The text for one item and sample; raises MissingVariable. Values are inert, whatever they say."""
        return "".join(part if isinstance(part, str) else written(part, names) for part in self.parts)


def parse(text: str, param: str) -> Template:
    """A template; 400 `invalid_template`, naming `param`, for anything but paths between braces."""
    plain, *openings = text.split("{{")
    parts: list[str | Path] = [plain]
    for opening in openings:
        inner, closed, plain = opening.partition("}}")
        if not closed:
            raise invalid(param)
        parts += [path_of(inner, param), plain]
    return Template(tuple(part for part in parts if part != ""))


def path_of(text: str, param: str) -> Path:
    """What stands between two pairs of braces."""
    inner = text.strip()
    root = next((root for root in _ROOTS if inner.startswith((root + ".", root + "["))), None)
    if root is None:
        raise invalid(param)
    steps: list[str | int] = [root]
    place = len(root)
    while place < len(inner):
        step = _STEP.match(inner, place)
        if step is None:
            raise invalid(param)
        steps.append(int(step["index"]) if step["index"] else step["key"] or step["quoted"])
        place = step.end()
    return Path(inner, tuple(steps))


def written(path: Path, names: Mapping[str, JsonValue]) -> str:
    """A value as text: strings as they are, everything else as JSON."""
    try:
        value = path.find(names)
    except LookupError:
        raise MissingVariable(path) from None
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def invalid(param: str) -> InvalidRequest:
    """The refusal of a template."""
    message = (
        f"Invalid '{param}': a template may hold only item.* and sample.* paths, such as "
        "{{ item.reference }} or {{ sample.choices[0].message.content }}."
    )
    return InvalidRequest(message, param=param, code="invalid_template")
