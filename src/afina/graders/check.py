"""Whether a grader can be right at all: its templates, its source, its formula, its labels. Nothing of it runs."""

import ast
from collections.abc import Iterator

from afina.errors import InvalidRequest
from afina.graders import formula, templates
from afina.schemas.graders import (
    Grader,
    JudgeAudio,
    JudgeImage,
    JudgeText,
    LabelModelGrader,
    MultiGrader,
    PartGrader,
    PythonGrader,
    ScoreModelGrader,
    StringCheckGrader,
    TextSimilarityGrader,
)
from afina.schemas.graders import JudgeMessage as Message


def check(grader: Grader, param: str = "grader") -> None:
    """Nothing, or a 400 that names the parameter, where `param` stands for the grader."""
    if isinstance(grader, MultiGrader):
        check_formula(grader, param)
    for part, where in parts(grader, param):
        for text, place in texts(part, where):
            templates.parse(text, place)
        if isinstance(part, PythonGrader):
            check_source(part.source, f"{where}.source")
        if isinstance(part, LabelModelGrader):
            check_labels(part, where)


def first_absent(grader: Grader, item: templates.JsonObject) -> str | None:
    """The first path into the item that the grader's templates name and the item does not have."""
    names: templates.JsonObject = {"item": item}
    for part, _ in parts(grader, ""):
        for text, place in texts(part, ""):
            for path in templates.parse(text, place).paths:
                if path.steps[0] == "item" and not path.leads_somewhere(names):
                    return path.text
    return None


def parts(grader: Grader, param: str) -> Iterator[tuple[PartGrader, str]]:
    """The graders that compute something, each with its place."""
    match grader:
        case MultiGrader(graders=dict()):
            yield from ((part, f"{param}.graders.{name}") for name, part in grader.named.items())
        case MultiGrader():
            yield from ((part, f"{param}.graders") for part in grader.named.values())
        case _:
            yield grader, param


def texts(grader: PartGrader, where: str) -> Iterator[tuple[str, str]]:
    """The grader's templates, each with its place."""
    match grader:
        case StringCheckGrader() | TextSimilarityGrader():
            yield grader.input, f"{where}.input"
            yield grader.reference, f"{where}.reference"
        case ScoreModelGrader() | LabelModelGrader():
            for number, message in enumerate(grader.input):
                yield from said(message, f"{where}.input[{number}].content")
        case PythonGrader():
            return


def said(message: Message, where: str) -> Iterator[tuple[str, str]]:
    """The templates of a message; 400 for what no model here can take."""
    for part in message.parts:
        match part:
            case JudgeImage() | JudgeAudio():
                raise refused(where, "images and speech are not graded here, only text")
            case JudgeText():
                yield part.text, where
            case str():
                yield part, where


def check_source(source: str, param: str) -> None:
    """One `def grade(sample, item)` at the top, in source that Python can read."""
    try:
        tree = ast.parse(source)
    except SyntaxError as error:
        raise refused(param, f"line {error.lineno or 1}: {error.msg}") from None
    except (ValueError, RecursionError, MemoryError):
        raise refused(param, "it is no Python that can be read") from None
    found = [node for node in tree.body if isinstance(node, ast.FunctionDef) and node.name == "grade"]
    if len(found) != 1 or not takes_two(found[0].args):
        raise refused(param, "expected exactly one function grade(sample, item)")


def takes_two(arguments: ast.arguments) -> bool:
    """Whether a function can be called with a sample and an item."""
    places = len(arguments.posonlyargs) + len(arguments.args)
    needed = places - len(arguments.defaults)
    named = any(default is None for default in arguments.kw_defaults)
    return not named and needed <= 2 and (places >= 2 or arguments.vararg is not None)


def check_labels(grader: LabelModelGrader, where: str) -> None:
    """Labels that pass are labels."""
    if len(set(grader.labels)) < len(grader.labels):
        raise refused(f"{where}.labels", "each label may be there once")
    if not set(grader.passing_labels) <= set(grader.labels):
        raise refused(f"{where}.passing_labels", "expected some of the labels")


def check_formula(grader: MultiGrader, param: str) -> None:
    """A formula over names that it can spell."""
    for name in grader.named:
        if not formula.NAME.fullmatch(name) or name in formula.FUNCTIONS:
            raise refused(
                f"{param}.graders",
                "names of graders are letters, digits and _, do not begin with a digit and are no function's",
            )
    try:
        formula.parse(grader.calculate_output, set(grader.named))
    except formula.FormulaError as error:
        raise refused(f"{param}.calculate_output", str(error)) from None


def refused(param: str, why: str) -> InvalidRequest:
    """What is wrong with a parameter."""
    return InvalidRequest(f"Invalid '{param}': {why}.", param=param, code="invalid_value")
