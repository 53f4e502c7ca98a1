"""The arithmetic of multi graders, against Python's own where they agree."""

import math

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from afina.graders.formula import FormulaError, parse

REWARDS = {"a": 1.0, "b": 0.25, "exact_match": 0.5}
VALUES = {
    "a": 1,
    "0.5 * a + 2 * b": 1,
    "2 + 3 * 4": 14,
    "(2 + 3) * 4": 20,
    "10 - 3 - 2": 5,
    "16 / 4 / 2": 2,
    "2 ^ 3 ^ 2": 512,
    "-2 ^ 2": -4,
    "2 ^ -1": 0.5,
    "- - + 3": 3,
    "1e2 + .5 + 1.": 101.5,
    "min(a, b, exact_match) + max(a, b)": 1.25,
    "max(b)": 0.25,
    "abs(-3) + floor(1.7) + ceil(1.2)": 6,
    "exp(0) + sqrt(4) + log(1)": 3,
    "max(min(a, 0.9), b) ^ 2 / (1 + exact_match)": 0.54,
    "+".join(["a"] * 2000): 2000,
    "(" * 60 + "1" + ")" * 60: 1,
}


@pytest.mark.parametrize("text", VALUES, ids=lambda text: text[:40])
def test_values(text: str):
    assert parse(text, set(REWARDS))(REWARDS) == pytest.approx(VALUES[text], abs=1e-12)


WRONG = {
    "": "column 1",
    "a +": "column 4",
    "a b": "expected an operator at column 2",
    "(a": "expected ')'",
    "a)": "an operator",
    "2 ** 3": "column 4",
    "a % b": "an operator",
    "c + 1": "no grader called 'c'",
    "min()": "column 5",
    "sqrt(1, 2)": "sqrt takes one argument",
    "eval(1)": "no function 'eval'",
    "a.__class__": "column 2",
    "__import__('os')": "no function '__import__'",
    "min": "no grader called 'min'",
    "a if b else a": "an operator",
    "[a]": "column 1",
    "١ + a": "column 1",
    "(" * 1000 + "1": "nested deeper",
    "-" * 1000 + "1": "nested deeper",
    "2^" * 1000 + "1": "nested deeper",
}


@pytest.mark.parametrize("text", WRONG, ids=lambda text: text[:20])
def test_what_is_no_formula(text: str):
    with pytest.raises(FormulaError) as caught:
        parse(text, set(REWARDS))
    assert WRONG[text] in str(caught.value)


@pytest.mark.parametrize(
    "text", ["a / (b - b)", "log(0)", "sqrt(-1)", "(-8) ^ 0.5", "10 ^ 999", "exp(999)", "1e999", "1e308 * 10"]
)
def test_what_has_no_value(text: str):
    with pytest.raises(FormulaError):
        parse(text, set(REWARDS))(REWARDS)


NUMBERS = st.floats(0, 100).map(lambda number: f"{number:.3f}")
TERMS = st.recursive(
    NUMBERS | st.sampled_from(["a", "b"]),
    lambda inner: (
        st.tuples(inner, st.sampled_from("+-*/"), inner).map(lambda parts: "({} {} {})".format(*parts))
        | inner.map(lambda term: f"-{term}")
        | st.tuples(inner, inner).map(lambda pair: f"max({pair[0]}, {pair[1]})")
    ),
    max_leaves=12,
)


@given(TERMS)
def test_as_python_says(text: str):
    try:
        expected = eval(text, {"max": max, **REWARDS})
    except ZeroDivisionError:
        with pytest.raises(FormulaError):
            parse(text, set(REWARDS))(REWARDS)
        return
    assume(math.isfinite(expected))
    assert parse(text, set(REWARDS))(REWARDS) == pytest.approx(expected)
