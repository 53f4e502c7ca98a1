"""What a job of the method reinforcement tries out, from what it asks for."""

import pytest

from afina.data.tokens import TokenStats
from afina.schemas.fine_tuning import (
    ReinforcementHyperparameters,
    ReinforcementMethod,
    SupervisedMethod,
    with_numbers,
)
from afina.training import plan
from afina.training.plan import BaseFacts
from afina.training.trials import trials

GRADER = {"type": "string_check", "name": "s", "input": "a", "reference": "b", "operation": "eq"}
BASE = BaseFacts(parameters=7_000_000, hidden_size=256, context=2048)


def stats(examples: int) -> TokenStats:
    return TokenStats(examples, examples, 20 * examples, 0, 0, 30)


def method(response_format=None, **numbers):
    said = {"grader": GRADER, "hyperparameters": numbers}
    said |= {} if response_format is None else {"response_format": response_format}
    asked = ReinforcementMethod.model_validate({"type": "reinforcement", "reinforcement": said})
    return with_numbers(asked, plan.resolve(asked.hyperparameters, stats(32), BASE))


@pytest.mark.parametrize(
    ("examples", "n_epochs", "batch_size", "steps", "interval"),
    [(10, 10, 2, 50, 5), (32, 3, 8, 12, 2), (100, 3, 8, 39, 4), (9_000, 2, 8, 2250, 225)],
)
def test_what_auto_means(examples, n_epochs, batch_size, steps, interval):
    planned = plan.resolve(ReinforcementHyperparameters(), stats(examples), BASE)
    assert (planned.n_epochs, planned.batch_size, planned.eval_interval) == (n_epochs, batch_size, interval)
    assert (planned.compute_multiplier, planned.eval_samples, planned.learning_rate_multiplier) == (
        1.0,
        2,
        1.0,
    )
    assert plan.total_steps(planned, stats(examples)) == steps


def test_what_is_asked_for_is_kept():
    asked = ReinforcementHyperparameters(
        compute_multiplier=2.0, eval_interval=7, eval_samples=5, batch_size=3
    )
    planned = plan.resolve(asked, stats(32), BASE)
    assert planned == asked.model_copy(update={"n_epochs": 3, "learning_rate_multiplier": 1.0})


@pytest.mark.parametrize(("multiplier", "size"), [(1.0, 8), (0.5, 4), (0.001, 2), (2.0, 16), (10.0, 64)])
def test_compute_is_the_number_of_replies_to_a_prompt(multiplier, size):
    assert trials(method(compute_multiplier=multiplier), max_tokens=None).group_size == size


@pytest.mark.parametrize(
    ("effort", "tokens"), [("low", 128), ("default", 256), ("medium", 256), ("high", 1024)]
)
def test_effort_is_the_length_of_replies(effort, tokens):
    asked = method(reasoning_effort=effort)
    assert trials(asked, max_tokens=None).max_tokens == tokens
    assert trials(asked, max_tokens=33).max_tokens == 33


def test_the_form_of_replies():
    schema = {"type": "object", "properties": {}, "additionalProperties": False}
    held = {"type": "json_schema", "json_schema": {"name": "n", "schema": schema}}
    assert trials(method(held), max_tokens=None).form.json_schema == schema
    assert trials(method({"type": "json_object"}), max_tokens=None).form.json_schema == {"type": "object"}
    assert trials(method({"type": "text"}), max_tokens=None).form is None
    assert trials(method(), max_tokens=None).form is None


def test_other_methods_try_nothing_out():
    assert trials(SupervisedMethod(type="supervised"), max_tokens=9) is None


def test_the_rate_is_half_of_that_of_supervised_tuning():
    supervised = SupervisedMethod.model_validate(
        {
            "type": "supervised",
            "supervised": {
                "hyperparameters": {"n_epochs": 1, "batch_size": 1, "learning_rate_multiplier": 1.0}
            },
        }
    ).hyperparameters
    assert plan.learning_rate(method().hyperparameters, BASE) == plan.learning_rate(supervised, BASE) / 2
