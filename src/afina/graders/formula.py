"""The arithmetic of multi graders: + - * / ^, parentheses, eight functions, and the names of graders."""

import math
import operator
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from afina.errors import clipped

NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
Function = Callable[
    ..., Any
]  # of floats, to a float: the types of `min` and `floor` say more than fits in one word
FUNCTIONS: Mapping[str, Function] = {
    "min": min,
    "max": max,
    "abs": abs,
    "floor": math.floor,
    "ceil": math.ceil,
    "exp": math.exp,
    "sqrt": math.sqrt,
    "log": math.log,
}
_OF_MANY = ("min", "max")
_SIGNS: Mapping[str, Function] = {
    "+": operator.add,
    "-": operator.sub,
    "*": operator.mul,
    "/": float.__truediv__,
    "^": math.pow,
}
_TOKEN = re.compile(
    rf"\s*(?:(?P<number>(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)|(?P<name>{NAME.pattern})|(?P<sign>[-+*/^(),]))",
    re.ASCII,
)
_DEEPEST = 64


class FormulaError(ValueError):
    """A formula that cannot be read, or that has no finite value; the message says why."""


@dataclass(frozen=True)
class Operation:
    """Takes `arity` values from the end of the row, and leaves one."""

    function: Function
    arity: int


@dataclass(frozen=True)
class Formula:
    """A formula in the order of its computation: numbers, names of graders, and operations behind their values."""

    steps: tuple[float | str | Operation, ...]

    def __call__(self, rewards: Mapping[str, float]) -> float:
        """The value for these rewards; FormulaError where it is no finite number."""
        row: list[float] = []
        try:
            for step in self.steps:
                if isinstance(step, Operation):
                    row[-step.arity :] = [float(step.function(*row[-step.arity :]))]
                else:
                    row.append(rewards[step] if isinstance(step, str) else step)
        except (ArithmeticError, ValueError) as error:
            raise FormulaError(f"the formula has no value here: {error}") from None
        if not math.isfinite(row[0]):
            raise FormulaError("the value of the formula is not finite")
        return row[0]


def parse(text: str, names: set[str]) -> Formula:
    """A formula over these names; FormulaError says what is wrong with it, and at which column."""
    reader = _Reader(text.rstrip())
    reader.sum()
    if reader.token:
        raise reader.wrong("an operator")
    unknown = [step for step in reader.steps if isinstance(step, str) and step not in names]
    if unknown:
        raise FormulaError(f"there is no grader called '{clipped(unknown[0])}'")
    return Formula(tuple(reader.steps))


class _Reader:
    """Reads a formula from left to right: one method for each level of binding, the loosest first."""

    def __init__(self, text: str):
        self.text = text
        self.steps: list[float | str | Operation] = []
        self.place = self.start = self.depth = 0
        self.token = self.kind = ""
        self.advance()

    def advance(self) -> str:
        """The token that was next; the one behind it is next now."""
        passed, self.start = self.token, self.place
        found = _TOKEN.match(self.text, self.place)
        if found is None and self.place < len(self.text):
            raise self.wrong("a number, a name or an operator")
        self.kind = str(found.lastgroup) if found else ""
        self.token = found[self.kind] if found else ""
        self.place = found.end() if found else self.place
        return passed

    def wrong(self, expected: str) -> FormulaError:
        """What should have stood here."""
        return FormulaError(f"expected {expected} at column {self.start + 1}")

    def take(self, sign: str) -> None:
        """Pass a sign that has to be here."""
        if self.token != sign:
            raise self.wrong(f"'{sign}'")
        self.advance()

    def sum(self) -> None:
        """Terms that are added and subtracted."""
        self.product()
        while self.token in ("+", "-"):
            function = _SIGNS[self.advance()]
            self.product()
            self.steps.append(Operation(function, 2))

    def product(self) -> None:
        """Factors that are multiplied and divided."""
        self.signed()
        while self.token in ("*", "/"):
            function = _SIGNS[self.advance()]
            self.signed()
            self.steps.append(Operation(function, 2))

    def signed(self) -> None:
        """A power with signs before it: -2^2 is -4."""
        self.depth += 1
        if self.depth > _DEEPEST:
            raise FormulaError(f"it is nested deeper than {_DEEPEST}")
        if self.token in ("+", "-"):
            sign = self.advance()
            self.signed()
            self.steps.append(Operation(operator.neg if sign == "-" else operator.pos, 1))
        else:
            self.power()
        self.depth -= 1

    def power(self) -> None:
        """Powers bind to the right: 2^3^2 is 2^9."""
        self.operand()
        if self.token == "^":
            self.advance()
            self.signed()
            self.steps.append(Operation(_SIGNS["^"], 2))

    def operand(self) -> None:
        """A number, a grader, a function, or something in parentheses."""
        if self.token == "(":
            self.advance()
            self.sum()
            self.take(")")
        elif self.kind == "number":
            self.steps.append(float(self.advance()))
        elif self.kind == "name":
            name = self.advance()
            if self.token == "(":
                self.call(name)
            else:
                self.steps.append(name)
        else:
            raise self.wrong("a number, a grader, a function or '('")

    def call(self, name: str) -> None:
        """A function of one argument, or of any number."""
        if name not in FUNCTIONS:
            raise FormulaError(f"there is no function '{clipped(name)}', only {', '.join(FUNCTIONS)}")
        self.take("(")
        self.sum()
        arity = 1
        while self.token == ",":
            self.advance()
            self.sum()
            arity += 1
        self.take(")")
        if name in _OF_MANY:
            # Of one argument, Python's own would look for values inside it.
            if arity > 1:
                self.steps.append(Operation(FUNCTIONS[name], arity))
        elif arity == 1:
            self.steps.append(Operation(FUNCTIONS[name], 1))
        else:
            raise FormulaError(f"{name} takes one argument")
