"""The server knows none of the ids that the official suite speaks of: its rows are written before each test."""

import ast
from collections.abc import Iterator

import pytest

from conformance import suite
from conformance.calls import call
from conformance.rows import ROWS
from conformance.tenant import named


def ids() -> Iterator[str]:
    """Whatever the suite's calls name; a word without a digit names nothing in particular."""
    for path in suite.paths(list(suite.RESOURCES)):
        place = suite.folder() / path
        for file in place.rglob("test_*.py") if place.is_dir() else [place]:
            for node in ast.walk(ast.parse(file.read_text())):
                found = call(node) if isinstance(node, ast.Call) else None
                for argument in ROWS.keys() & (found.arguments.keys() if found else ()):
                    yield from (
                        name for name in named(found.arguments[argument]) if any(map(str.isdigit, name))
                    )


def test_the_source_holds_none_of_the_suites_ids() -> None:
    if not (suite.folder() / "tests").is_dir():
        pytest.skip("the suite has not been fetched: `make conformance` does it")
    from afina.serving.registry import OPENAI_NAMES

    wanted = set(ids()) - set(OPENAI_NAMES)
    assert wanted
    sources = "\n".join(path.read_text() for path in (suite.ROOT / "src").rglob("*.py"))
    assert {name for name in wanted if name in sources} == set()
