"""What the page says of each parameter of the client is what the code does."""

import re
from typing import Literal, get_args, get_origin

import pytest

from afina.api.app import create_app
from afina.settings import Settings
from conformance import compatibility
from conformance.compatibility import IGNORED, Operation
from conformance.suite import ROOT, version


@pytest.fixture(scope="module")
def operations() -> list[Operation]:
    return list(compatibility.operations(create_app(Settings())))


def test_the_page_is_current() -> None:
    assert compatibility.PAGE.read_text() == compatibility.page(), "run `make docs`"


def test_the_version_is_the_pinned_one() -> None:
    assert f"openai=={version()}\n" in (ROOT / "constraints.txt").read_text()


def test_what_is_ignored_is_taken(operations: list[Operation]) -> None:
    by_name = {each.name: each for each in operations}
    strange = {name: fields - by_name[name].taken for name, fields in IGNORED.items()}
    assert {name: fields for name, fields in strange.items() if fields} == {}


def test_what_is_done_is_read_somewhere(operations: list[Operation]) -> None:
    """A field that no line outside the schemas names cannot be more than ignored, unless it has only one value."""
    sources = [path for path in (ROOT / "src" / "afina").rglob("*.py") if "migrations" not in path.parts]
    code = "\n".join(path.read_text() for path in sources if path.parent.name != "schemas")
    read = {name for how in (r"\.(\w+)", r'"(\w+)"', r"(\w+):") for name in re.findall(how, code)}
    for operation in operations:
        done = {each for each in operation.parameters if operation.fate(each) == "done"}
        assert done - read - constants(operation) == set(), operation.name


def constants(operation: Operation) -> set[str]:
    """The fields of a body that may have one value only."""
    fields = operation.body.model_fields if operation.body else {}
    hints = {
        name: field.annotation for name, field in fields.items() if get_origin(field.annotation) is Literal
    }
    return {name for name, hint in hints.items() if len(get_args(hint)) == 1}
