"""The house keeps its own rules: sizes, layers that a linter cannot see, and words."""

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
FOLDERS = ("src", "examples", "recipes", "bench")
SOURCES = sorted(
    path for folder in FOLDERS for path in (ROOT / folder).rglob("*.py") if "versions" not in path.parts
)
LONGEST_FILE = 350
LONGEST_FUNCTION = 60
DRAWERS = {"utils", "util", "common", "helpers", "misc", "extras"}
WORDLESS = re.compile(r"(Manager|Handler|Processor|Service|Factory)$")
TORCH_FREE = [
    "afina.api.app",
    "afina.serving.router",
    "afina.worker.__main__",
    "afina.cli",
    "afina.engine.types",
    "afina.evals.compare",
]


def named(paths: list[Path]) -> list[str]:
    return [str(path.relative_to(ROOT)) for path in paths]


@pytest.mark.parametrize("path", SOURCES, ids=named(SOURCES))
def test_a_file_can_be_held_in_the_head(path: Path) -> None:
    assert path.read_text().count("\n") <= LONGEST_FILE


@pytest.mark.parametrize("path", SOURCES, ids=named(SOURCES))
def test_a_function_fits_on_a_screen(path: Path) -> None:
    lengths = {f.name: f.end_lineno - f.lineno + 1 for f in functions(path) if f.end_lineno}
    assert {name: length for name, length in lengths.items() if length > LONGEST_FUNCTION} == {}


def functions(path: Path) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


def test_there_are_no_drawers() -> None:
    assert [path for path in SOURCES if path.stem in DRAWERS or path.parent.name in DRAWERS] == []


def test_classes_are_named_for_what_they_are() -> None:
    classes = [
        n.name for p in SOURCES for n in ast.walk(ast.parse(p.read_text())) if isinstance(n, ast.ClassDef)
    ]
    assert [name for name in classes if WORDLESS.search(name)] == []


def test_whatever_is_caught_without_a_name_is_caught_at_an_edge() -> None:
    """A request, a piece of work, a run, and the engine's device thread; and the tokenizers' errors have no name."""
    found = {str(p.relative_to(ROOT / "src/afina")) for p in SOURCES if "except Exception" in p.read_text()}
    assert found <= {
        "api/headers.py",
        "worker/loop.py",
        "worker/batch_requests.py",
        "worker/eval_items.py",
        "host/runs.py",
        "engine/scheduler.py",
        "engine/sample.py",
        "data/tokenizer.py",
    }


@pytest.mark.parametrize("module", TORCH_FREE)
def test_only_the_host_loads_torch(module: str) -> None:
    """In a fresh interpreter, because this one has loaded it long ago."""
    code = f"import sys, {module}; print(sorted({{'torch', 'transformers'}} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_links_between_pages_lead_somewhere() -> None:
    broken: list[str] = []
    for page in [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]:
        for target in re.findall(r"\]\((?!https?://|#|mailto:)([^)#]+)", page.read_text()):
            if not (page.parent / target).exists():
                broken.append(f"{page.relative_to(ROOT)} -> {target}")
    assert broken == []
